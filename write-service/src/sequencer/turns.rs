//! Turns: instances that found each other write one after another for a while, in larger batches. A courtesy; the
//! compare-and-set of the append is what keeps them right.

use tokio::time::{Duration, Instant};

use super::Sequencer;

/// How long an instance that lost a race takes turns with the others.
pub(super) const CONTENDED_FOR: Duration = Duration::from_secs(1);

/// A batch written during a turn may be so many times larger, because turns are what is scarce then.
pub(super) const CONTENDED_BATCH_FACTOR: usize = 4;

impl Sequencer {
    pub(super) fn is_contended(&self) -> bool {
        self.contended_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn batches_under_way_max(&self) -> usize {
        if self.is_contended() || self.has_turn { 1 } else { self.limits.batches_under_way_max }
    }

    /// Waits for this instance's turn, and learns what the others wrote before it.
    pub(super) async fn take_turn(&mut self) {
        let Some(connections) = &self.connections else { return };
        match connections.control.take_turn().await {
            Ok(taken) => self.has_turn = taken,
            Err(error) => return self.note_failure(&error),
        }
        if let Err(error) = self.catch_up().await {
            self.note_failure(&error);
        }
    }

    pub(super) async fn end_turn(&mut self) {
        self.has_turn = false;
        if let Some(connections) = &self.connections
            && let Err(error) = connections.control.end_turn().await
        {
            self.note_failure(&error);
        }
    }

    pub(super) fn batch_commands_max(&self) -> usize {
        let factor = if self.is_contended() { CONTENDED_BATCH_FACTOR } else { 1 };
        self.limits.batch_commands_max * factor
    }
}

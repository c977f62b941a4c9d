//! Turns: instances that found each other write one after another for a while, several batches each. A courtesy; the
//! compare-and-set of the append is what keeps them right.

use tokio::time::{Duration, Instant};

use super::Sequencer;

/// How long an instance that lost a race takes turns with the others.
pub(super) const CONTENDED_FOR: Duration = Duration::from_secs(1);

/// How long batches are sent in one turn. Handing it over takes a commit and three questions, in which nobody writes;
/// but whoever waits for longer than 50 ms gives up its turn.
const TURN: Duration = Duration::from_millis(TURN_MS);
const TURN_MS: u64 = 10;

impl Sequencer {
    fn is_contended(&self) -> bool {
        self.contended_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether nothing is sent before this instance has asked for its turn.
    pub(super) fn needs_turn(&self) -> bool {
        self.turn_until.is_none() && self.is_contended()
    }

    /// Whether another batch may be sent beside those under way.
    pub(super) fn has_place_under_way(&self) -> bool {
        if self.under_way.is_empty() {
            return true;
        }
        let turn_is_over = self.turn_until.is_some_and(|until| until <= Instant::now());
        // Whoever goes without its turn has to learn what the others wrote after each batch.
        !turn_is_over
            && !self.needs_turn()
            && self.under_way.len() < self.limits.batches_under_way_max
    }

    /// Waits for this instance's turn, and learns what the others wrote before it.
    pub(super) async fn take_turn(&mut self) {
        let Some(connections) = &self.connections else { return };
        match connections.control.take_turn().await {
            Ok(true) => self.turn_until = Some(Instant::now() + TURN),
            Ok(false) => {}
            Err(error) => return self.note_failure(&error),
        }
        if let Err(error) = self.catch_up().await {
            self.note_failure(&error);
        }
    }

    /// Gives the turn to whoever waits for it, if this instance has it and nothing under way.
    pub(super) async fn end_turn(&mut self) {
        if !self.under_way.is_empty() || self.turn_until.take().is_none() {
            return;
        }
        if let Some(connections) = &self.connections
            && let Err(error) = connections.control.end_turn().await
        {
            self.note_failure(&error);
        }
    }
}

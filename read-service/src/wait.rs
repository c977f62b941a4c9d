//! Waiting until a view has come to a position: woken by the projector's publications, and looking again every so often
//! because a publication may be lost.

mod bells;

use std::future::Future;
use std::time::Duration;

use ledger::{Position, Shard};
use read_model::View;
use service_kit::shares::{NoShare, Party};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::QueryError;
use crate::metrics::{Metrics, WaitOutcome};
use crate::places::Places;

pub(crate) use bells::{Bells, follow_publications};

/// Calls that wait, and their limits.
pub(crate) struct Waits {
    bells: Bells,
    waiters: Places,
    recheck: Duration,
    wait_max: Duration,
    shutdown: CancellationToken,
    metrics: Metrics,
}

/// How a wait that was not refused ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The position is there.
    Reached,
    /// Time is up.
    TimedOut,
}

impl Waits {
    pub(crate) fn new(
        bells: Bells,
        config: &crate::Config,
        shutdown: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        Self {
            bells,
            waiters: Places::new(config.waiters_max),
            recheck: config.wait_recheck,
            wait_max: config.wait_max,
            shutdown,
            metrics,
        }
    }

    /// Until when a call that came now and has this deadline may wait.
    pub(crate) fn until(&self, deadline: Option<Instant>) -> Instant {
        let ours = Instant::now() + self.wait_max;
        deadline.map_or(ours, |deadline| deadline.min(ours))
    }

    /// Waits until `look` finds the view at or beyond every wanted position.
    ///
    /// # Errors
    /// Too many wait already, or too many of this caller's calls; the server is stopping, or a look failed.
    pub(crate) async fn until_reached<L>(
        &self,
        party: Party,
        view: View,
        wanted: &[(Shard, Position)],
        until: Instant,
        look: impl Fn(Shard) -> L,
    ) -> Result<Waited, QueryError>
    where
        L: Future<Output = Result<Position, QueryError>>,
    {
        let refused = |why| {
            self.metrics.count_wait(WaitOutcome::Refused);
            QueryError::Overloaded(match why {
                NoShare::Full => "calls wait for the read model already",
                NoShare::KeptForOthers => "calls of this caller wait for the read model already",
            })
        };
        let _place = self.waiters.take(party).map_err(refused)?;
        let _counted = self.metrics.waiting();
        // One shard after the other: all must be there in the end, and none goes back meanwhile (if one does, the read
        // that follows finds out).
        for (shard, position) in wanted {
            let waited = self.one_reached(view, *shard, *position, until, &look).await;
            match waited {
                Ok(Waited::Reached) => {}
                Ok(Waited::TimedOut) => {
                    self.metrics.count_wait(WaitOutcome::TimedOut);
                    return Ok(Waited::TimedOut);
                }
                Err(error) => {
                    self.metrics.count_wait(WaitOutcome::Failed);
                    return Err(error);
                }
            }
        }
        self.metrics.count_wait(WaitOutcome::Reached);
        Ok(Waited::Reached)
    }

    async fn one_reached<L>(
        &self,
        view: View,
        shard: Shard,
        wanted: Position,
        until: Instant,
        look: impl Fn(Shard) -> L,
    ) -> Result<Waited, QueryError>
    where
        L: Future<Output = Result<Position, QueryError>>,
    {
        // Registers before it looks: what is published from here on wakes it.
        let mut bell = self.bells.listen(view, shard);
        loop {
            if look(shard).await? >= wanted {
                return Ok(Waited::Reached);
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(QueryError::ShuttingDown),
                () = tokio::time::sleep_until(until) => return Ok(Waited::TimedOut),
                () = bell.rung_at(wanted) => {}
                () = tokio::time::sleep(self.recheck) => {}
            }
        }
    }
}

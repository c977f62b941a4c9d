//! The projector's publications, passed on to the calls that wait for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Position, Shard};
use read_model::{Reader, View};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{StoreFault, with_cause};
use crate::store::CurrentLog;

/// Pause before subscribing anew. Waiting calls look by themselves meanwhile.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(250);

/// One bell per view and shard. A ring says that a position may be there; who hears it looks.
#[derive(Clone, Default)]
pub(crate) struct Bells {
    bells: Arc<Mutex<ByLane>>,
}

type ByLane = HashMap<(View, Shard), watch::Sender<Ring>>;

/// What was last published.
#[derive(Clone, Copy)]
enum Ring {
    /// The view may include this position.
    At(Position),
    /// Publications may have been missed: look, whatever you wait for.
    Look,
}

impl Bells {
    /// A bell that tells of every ring from now on.
    pub(crate) fn listen(&self, view: View, shard: Shard) -> Bell {
        let mut bells = self.lock();
        let bell = bells.entry((view, shard)).or_insert_with(|| watch::Sender::new(Ring::Look));
        Bell { rings: bell.subscribe() }
    }

    fn ring(&self, view: View, shard: Shard, position: Position) {
        if let Some(bell) = self.lock().get(&(view, shard)) {
            bell.send_replace(Ring::At(position));
        }
    }

    fn ring_all(&self) {
        for bell in self.lock().values() {
            bell.send_replace(Ring::Look);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByLane> {
        // Nothing panics while holding it, and a bell is whole at any moment.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiting call's ear.
pub(crate) struct Bell {
    rings: watch::Receiver<Ring>,
}

impl Bell {
    /// Returns at the next ring that may concern who waits for this position. One that came since the last call counts:
    /// a generation being built publishes too, so a ring that was heard once and led to nothing must not count again.
    pub(crate) async fn rung_at(&mut self, wanted: Position) {
        loop {
            if self.rings.changed().await.is_err() {
                return std::future::pending().await; // the bells are gone, as is the server
            }
            match *self.rings.borrow_and_update() {
                Ring::At(position) if position < wanted => {}
                Ring::At(_) | Ring::Look => return,
            }
        }
    }
}

/// Rings the bells for what the projector publishes, until `shutdown`.
pub(crate) async fn follow_publications(
    reader: Reader,
    log: Arc<CurrentLog>,
    bells: Bells,
    shutdown: CancellationToken,
) {
    let mut told = false; // one line when it ends, none for every attempt in between
    loop {
        let following = follow(&reader, &log, &bells, &mut told);
        if let Some(Err(fault)) = shutdown.run_until_cancelled(following).await
            && !told
        {
            told = true;
            warn!(error = %with_cause(&fault), "the projector's publications are not heard");
        }
        let pause = tokio::time::sleep(SUBSCRIBE_PAUSE);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Follows until the connection is lost. `Ok` when there is nothing to follow yet.
async fn follow(
    reader: &Reader,
    log: &CurrentLog,
    bells: &Bells,
    told: &mut bool,
) -> Result<(), StoreFault> {
    let Some(record) = log.get().await? else { return Ok(()) };
    let failed = |error| StoreFault::Failed(Arc::new(error));
    let mut feed = reader.subscribe(record.shards).await.map_err(failed)?;
    info!(shards = record.shards.get(), "listening to the projector's publications");
    *told = false;
    bells.ring_all(); // for what was published while nobody listened
    loop {
        let published = feed.next().await.map_err(failed)?;
        match published.position {
            // A swap back to the retired generation does not say how far that one is.
            Position::ZERO => bells.ring_all(),
            position => bells.ring(published.view, published.shard, position),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WANTED: Position = Position::ZERO;

    fn position(number: i64) -> Position {
        Position::new(number).unwrap()
    }

    async fn rings(bell: &mut Bell, wanted: Position) -> bool {
        tokio::time::timeout(Duration::from_millis(20), bell.rung_at(wanted)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bell_rings_for_the_position_waited_for_and_not_below() {
        let bells = Bells::default();
        let mut bell = bells.listen(View::Accounts, Shard::ZERO);
        bells.ring(View::Accounts, Shard::ZERO, position(4));
        assert!(!rings(&mut bell, position(5)).await);
        bells.ring(View::Accounts, Shard::ZERO, position(5));
        assert!(rings(&mut bell, position(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_between_two_waits_counts_and_only_once() {
        let bells = Bells::default();
        let mut bell = bells.listen(View::Accounts, Shard::ZERO);
        bells.ring(View::Accounts, Shard::ZERO, position(9));
        assert!(rings(&mut bell, WANTED).await);
        assert!(!rings(&mut bell, WANTED).await);
    }

    #[tokio::test(start_paused = true)]
    async fn other_views_and_shards_have_other_bells_and_a_new_subscription_rings_all() {
        let bells = Bells::default();
        let mut bell = bells.listen(View::Accounts, Shard::ZERO);
        bells.ring(View::Totals, Shard::ZERO, position(9));
        bells.ring(View::Accounts, Shard::new(1).unwrap(), position(9));
        assert!(!rings(&mut bell, WANTED).await);
        bells.ring_all();
        assert!(rings(&mut bell, position(i64::MAX)).await);
    }
}

//! Calls that come together share a round trip.
//!
//! One task takes what is queued whenever a shard has a round trip free, and asks for all of it in one. It never waits for
//! more to come: alone, a call goes out at once; under load, what came in during a round trip makes up the next.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use ledger::{AccountId, Shard};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::error::StoreFault;
use crate::metrics::Metrics;
use crate::store::{Lookup, ReadPoint, Reading, within};

/// A round trip takes no further calls once it has so many keys: a longer one would hold the calls behind it up more than
/// it saves. One call may bring more by itself.
const ROUND_TRIP_KEYS_MAX: usize = 512;

/// Round trips at once on one shard: while one is decoded here, Redis works on the next.
const ROUND_TRIPS_MAX: usize = 2;

/// Calls taken from the queue at a time.
const TAKEN_MAX: usize = 1024;

type Reply<T> = oneshot::Sender<Result<Reading<T>, StoreFault>>;

/// What one call asks of one shard. Almost every call asks for one account, and gets by without a list.
enum Ask<T> {
    One(AccountId, Reply<Option<T>>),
    Many(Vec<AccountId>, Reply<Vec<Option<T>>>),
}

impl<T> Ask<T> {
    fn ids(&self) -> &[AccountId] {
        match self {
            Self::One(id, _) => std::slice::from_ref(id),
            Self::Many(ids, _) => ids,
        }
    }

    fn is_given_up(&self) -> bool {
        match self {
            Self::One(_, reply) => reply.is_closed(),
            Self::Many(_, reply) => reply.is_closed(),
        }
    }

    /// Takes its part of what was found. A call that has gone away needs none.
    fn answer(self, point: &Arc<ReadPoint>, found: &mut impl Iterator<Item = Option<T>>) {
        let point = point.clone();
        match self {
            Self::One(_, reply) => {
                let value = found.next().flatten();
                let _ = reply.send(Ok(Reading { point, value }));
            }
            Self::Many(ids, reply) => {
                let value = found.take(ids.len()).collect();
                let _ = reply.send(Ok(Reading { point, value }));
            }
        }
    }

    fn fail(self, fault: StoreFault) {
        let _ = match self {
            Self::One(_, reply) => reply.send(Err(fault)).is_ok(),
            Self::Many(_, reply) => reply.send(Err(fault)).is_ok(),
        };
    }
}

/// Asks for what belongs to accounts, together with whoever else asks. Clones share the round trips.
pub(crate) struct Batcher<T> {
    // Without a limit of its own: calls in work are limited where they come in.
    queue: mpsc::UnboundedSender<(Shard, Ask<T>)>,
}

impl<T: Send + 'static> Batcher<T> {
    /// A batcher, and the task that works for it until it is dropped.
    pub(crate) fn new<L: Lookup<Found = T>>(
        lookup: L,
        limit: Duration,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, queued) = mpsc::unbounded_channel();
        (Self { queue }, run(RoundTrips { lookup, limit, metrics }, queued))
    }

    /// What one account has; `None` when it is not there.
    pub(crate) async fn one(
        &self,
        shard: Shard,
        id: AccountId,
    ) -> Result<Reading<Option<T>>, StoreFault> {
        let (reply, answer) = oneshot::channel();
        self.ask(shard, Ask::One(id, reply), answer).await
    }

    /// What each of these accounts of one shard has, in their order, all at one position.
    pub(crate) async fn many(
        &self,
        shard: Shard,
        ids: Vec<AccountId>,
    ) -> Result<Reading<Vec<Option<T>>>, StoreFault> {
        let (reply, answer) = oneshot::channel();
        self.ask(shard, Ask::Many(ids, reply), answer).await
    }

    async fn ask<V>(
        &self,
        shard: Shard,
        ask: Ask<T>,
        answer: oneshot::Receiver<Result<Reading<V>, StoreFault>>,
    ) -> Result<Reading<V>, StoreFault> {
        // Either fails only when the task has ended, and it ends after the last call.
        let _ = self.queue.send((shard, ask));
        answer.await.unwrap_or(Err(StoreFault::Stopped))
    }
}

/// One shard's calls that have not been asked for yet, and how many round trips are under way.
struct Lane<T> {
    waiting: VecDeque<Ask<T>>,
    running: usize,
}

impl<T> Lane<T> {
    /// What the next round trip asks for, if there is anything and one is free.
    fn next(&mut self) -> Option<Vec<Ask<T>>> {
        if self.running >= ROUND_TRIPS_MAX {
            return None;
        }
        let (mut asks, mut keys) = (Vec::new(), 0);
        while keys < ROUND_TRIP_KEYS_MAX {
            let Some(ask) = self.waiting.pop_front() else { break };
            if !ask.is_given_up() {
                keys += ask.ids().len().max(1);
                asks.push(ask);
            }
        }
        if asks.is_empty() {
            return None;
        }
        self.running += 1;
        Some(asks)
    }
}

/// All shards' lanes, and those of them that may have something to begin.
struct Lanes<T> {
    lanes: HashMap<Shard, Lane<T>>,
    touched: Vec<Shard>,
}

impl<T> Lanes<T> {
    fn lane(&mut self, shard: Shard) -> &mut Lane<T> {
        self.touched.push(shard);
        self.lanes.entry(shard).or_insert_with(|| Lane { waiting: VecDeque::new(), running: 0 })
    }

    /// The next round trip to begin, of whichever shard.
    fn next(&mut self) -> Option<(Shard, Vec<Ask<T>>)> {
        while let Some(shard) = self.touched.last().copied() {
            match self.lanes.get_mut(&shard).and_then(Lane::next) {
                Some(asks) => return Some((shard, asks)),
                None => self.touched.pop(),
            };
        }
        None
    }
}

async fn run<L: Lookup>(
    round_trips: RoundTrips<L>,
    mut queued: mpsc::UnboundedReceiver<(Shard, Ask<L::Found>)>,
) {
    let mut lanes = Lanes { lanes: HashMap::new(), touched: Vec::new() };
    let mut running = FuturesUnordered::new();
    let mut taken = Vec::with_capacity(TAKEN_MAX);
    loop {
        tokio::select! {
            count = queued.recv_many(&mut taken, TAKEN_MAX) => if count == 0 { break },
            Some(shard) = running.next() => {
                lanes.lane(shard).running -= 1;
                // What came in meanwhile shares the round trip that begins now.
                while let Ok(ask) = queued.try_recv() {
                    taken.push(ask);
                }
            }
        }
        for (shard, ask) in taken.drain(..) {
            lanes.lane(shard).waiting.push_back(ask);
        }
        while let Some((shard, asks)) = lanes.next() {
            running.push(round_trips.make(shard, asks));
        }
    }
}

/// Makes round trips.
struct RoundTrips<L> {
    lookup: L,
    limit: Duration,
    metrics: Metrics,
}

impl<L: Lookup> RoundTrips<L> {
    /// Asks for all of it at once and answers everybody.
    async fn make(&self, shard: Shard, asks: Vec<Ask<L::Found>>) -> Shard {
        self.metrics.observe_round_trip(asks.len());
        let looked = match asks.as_slice() {
            [alone] => self.look(shard, alone.ids()).await,
            asks => {
                let ids: Vec<AccountId> = asks.iter().flat_map(Ask::ids).cloned().collect();
                self.look(shard, &ids).await
            }
        };
        match looked {
            Ok(reading) => {
                let mut found = reading.value.into_iter();
                asks.into_iter().for_each(|ask| ask.answer(&reading.point, &mut found));
            }
            // One account's broken value must not fail its neighbours.
            Err(fault) if asks.len() > 1 && fault.is_about_one_value() => {
                debug!(shard = shard.get(), calls = asks.len(), "asking again, one by one");
                join_all(asks.into_iter().map(|ask| self.alone(shard, ask))).await;
            }
            Err(fault) => asks.into_iter().for_each(|ask| ask.fail(fault.clone())),
        }
        shard
    }

    async fn alone(&self, shard: Shard, ask: Ask<L::Found>) {
        match self.look(shard, ask.ids()).await {
            Ok(reading) => ask.answer(&reading.point, &mut reading.value.into_iter()),
            Err(fault) => ask.fail(fault),
        }
    }

    async fn look(&self, shard: Shard, ids: &[AccountId]) -> Result<Found<L>, StoreFault> {
        within(self.limit, self.lookup.look(shard, ids)).await.map(Reading::from)
    }
}

type Found<L> = Reading<Vec<Option<<L as Lookup>::Found>>>;

#[cfg(test)]
mod tests;

//! The batcher before a Redis that a test answers for.

use std::sync::{Arc, Mutex};

use read_model::{Snapshot, View};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::store::point_tests::marker;

/// Finds of every account its own id. Ids that begin with "bad" are unreadable.
#[derive(Clone, Default)]
struct Mirror {
    asked: Arc<Mutex<Vec<usize>>>,
    /// One permit lets one round trip go.
    gate: Arc<Notify>,
}

impl Lookup for Mirror {
    type Found = AccountId;

    async fn look(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Snapshot<Vec<Option<AccountId>>>, read_model::Error> {
        self.asked.lock().unwrap().push(ids.len());
        self.gate.notified().await;
        self.gate.notify_one(); // once open, open
        if let Some(bad) = ids.iter().find(|id| id.as_str().starts_with("bad")) {
            let (view, what) = (View::Accounts, bad.to_string());
            return Err(read_model::Error::Inconsistent { view, shard, what });
        }
        let found = |id: &AccountId| (id.as_str() != "absent").then(|| id.clone());
        Ok(Snapshot { marker: marker(shard, 1), value: ids.iter().map(found).collect() })
    }
}

fn id(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

/// A batcher before a closed gate, and its task.
fn batcher(limit: Duration) -> (Arc<Batcher<AccountId>>, Mirror, JoinSet<()>) {
    let mirror = Mirror::default();
    let (metrics, _) = Metrics::new();
    let (batcher, task) = Batcher::new(mirror.clone(), limit, metrics);
    let mut tasks = JoinSet::new();
    tasks.spawn(task);
    (Arc::new(batcher), mirror, tasks)
}

const LONG: Duration = Duration::from_secs(60);

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_comes_in_during_a_round_trip_makes_up_the_next() {
    let (batcher, mirror, _task) = batcher(LONG);
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let (batcher, wanted) = (batcher.clone(), id(&format!("a{number}")));
        calls.spawn(async move {
            let found = batcher.one(Shard::ZERO, wanted.clone()).await.unwrap();
            assert_eq!(found.value, Some(wanted));
        });
        if number < 2 {
            settle().await; // each of the first two finds a round trip free
        }
    }
    settle().await;
    assert_eq!(*mirror.asked.lock().unwrap(), [1, 1]);
    mirror.gate.notify_one();
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
    assert_eq!(*mirror.asked.lock().unwrap(), [1, 1, 98]);
}

#[tokio::test]
async fn everybody_gets_what_they_asked_for_in_their_order() {
    let (batcher, mirror, _task) = batcher(LONG);
    mirror.gate.notify_one();
    let ids = |texts: &[&str]| texts.iter().copied().map(id).collect::<Vec<_>>();
    let (one, none, many, again) = tokio::join!(
        batcher.one(Shard::ZERO, id("x")),
        batcher.one(Shard::ZERO, id("absent")),
        batcher.many(Shard::ZERO, ids(&["c", "absent", "a", "c"])),
        batcher.many(Shard::ZERO, Vec::new()),
    );
    assert_eq!(one.unwrap().value, Some(id("x")));
    assert_eq!(none.unwrap().value, None);
    let many = many.unwrap().value;
    assert_eq!(many, [Some(id("c")), None, Some(id("a")), Some(id("c"))]);
    assert!(again.unwrap().value.is_empty());
}

#[tokio::test]
async fn shards_have_round_trips_of_their_own() {
    let (batcher, mirror, _task) = batcher(LONG);
    mirror.gate.notify_one();
    let other = Shard::new(1).unwrap();
    let (here, there) =
        tokio::join!(batcher.one(Shard::ZERO, id("a")), batcher.one(other, id("b")));
    assert_eq!(here.unwrap().point.positions().next().unwrap().0, Shard::ZERO);
    assert_eq!(there.unwrap().point.positions().next().unwrap().0, other);
    assert_eq!(*mirror.asked.lock().unwrap(), [1, 1]);
}

#[tokio::test]
async fn a_broken_value_fails_its_own_call_only() {
    let (batcher, mirror, _task) = batcher(LONG);
    mirror.gate.notify_one();
    let (good, bad, also_good) = tokio::join!(
        batcher.one(Shard::ZERO, id("a")),
        batcher.one(Shard::ZERO, id("bad")),
        batcher.one(Shard::ZERO, id("b")),
    );
    assert_eq!(good.unwrap().value, Some(id("a")));
    assert_eq!(also_good.unwrap().value, Some(id("b")));
    assert!(bad.unwrap_err().is_about_one_value());
}

#[tokio::test]
async fn a_long_queue_is_cut_into_round_trips() {
    let (batcher, mirror, _task) = batcher(LONG);
    let many = |count: usize| (0..count).map(|n| id(&format!("a{n}"))).collect::<Vec<_>>();
    let mut calls = JoinSet::new();
    for count in [1, 1, 300, 300, 300] {
        let (batcher, ids) = (batcher.clone(), many(count));
        calls.spawn(async move { batcher.many(Shard::ZERO, ids).await.unwrap().value.len() });
        settle().await;
    }
    mirror.gate.notify_one();
    while calls.join_next().await.is_some() {}
    assert_eq!(*mirror.asked.lock().unwrap(), [1, 1, 600, 300]);
}

#[tokio::test]
async fn a_call_that_went_away_is_not_asked_for() {
    let (batcher, mirror, _task) = batcher(LONG);
    let mut calls = JoinSet::new();
    for text in ["a", "b", "gone", "gone", "c"] {
        let (batcher, wanted) = (batcher.clone(), id(text));
        let call = calls.spawn(async move { drop(batcher.one(Shard::ZERO, wanted).await) });
        settle().await;
        if text == "gone" {
            call.abort();
        }
    }
    settle().await;
    mirror.gate.notify_one();
    while calls.join_next().await.is_some() {}
    assert_eq!(*mirror.asked.lock().unwrap(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_does_not_answer_is_given_up() {
    let (batcher, _mirror, _task) = batcher(Duration::from_millis(300));
    let fault = batcher.one(Shard::ZERO, id("a")).await.unwrap_err();
    assert!(matches!(fault, StoreFault::TimedOut(_)), "{fault}");
}

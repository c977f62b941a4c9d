//! Generations: built beside the visible one, swapped in only forwards, dropped for good.

use std::time::Duration;

use dev_servers::Redis;
use ledger::ShardCount;
use read_model::{
    DEFAULT_KEY_PREFIX, Error, Generation, RebuildRequest, SwapOutcome, View, ViewStatus,
};
use redis::from_redis_value;

use crate::support::{SHARD, Store, account, account_id, checkpoint, page};

const VIEW: View = View::Accounts;

async fn commit(store: &Store, generation: Generation, from: i64, to: i64) -> Result<(), Error> {
    store.writer.commit(&page(VIEW, generation, (from, to), vec![account("alice", to, to)])).await
}

#[tokio::test]
async fn nothing_is_answered_before_a_generation_is_visible() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    commit(&store, generation, 0, 3).await.unwrap();
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await;
    assert!(matches!(read, Err(Error::NotBuilt { .. })), "{read:?}");
}

#[tokio::test]
async fn queries_follow_a_swap_at_once() {
    let store = Store::new().await;
    let old = store.visible(VIEW).await;
    commit(&store, old, 0, 3).await.unwrap();
    assert_eq!(store.reader.marker(VIEW, SHARD).await.unwrap().generation, old);
    let new = store.begin(VIEW).await;
    assert!(new > old);
    commit(&store, new, 0, 4).await.unwrap();
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Swapped);
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    assert_eq!((read.marker.generation, read.marker.checkpoint), (new, checkpoint(4)));
    assert_eq!(read.value[0].as_ref().unwrap().state.balance, 4);
}

#[tokio::test]
async fn a_swap_never_takes_queries_back() {
    let store = Store::new().await;
    let old = store.visible(VIEW).await;
    commit(&store, old, 0, 5).await.unwrap();
    let new = store.begin(VIEW).await;
    commit(&store, new, 0, 4).await.unwrap();
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Behind);
    commit(&store, new, 4, 5).await.unwrap();
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Swapped);
    commit(&store, new, 5, 6).await.unwrap();
    assert_eq!(store.writer.roll_back(VIEW, SHARD).await.unwrap(), SwapOutcome::Behind);
    commit(&store, old, 5, 7).await.unwrap();
    assert_eq!(store.writer.roll_back(VIEW, SHARD).await.unwrap(), SwapOutcome::Swapped);
    assert_eq!(store.reader.marker(VIEW, SHARD).await.unwrap().generation, old);
}

#[tokio::test]
async fn a_swap_decided_on_what_has_changed_since_is_refused() {
    let store = Store::new().await;
    let old = store.visible(VIEW).await;
    let new = store.begin(VIEW).await;
    commit(&store, new, 0, 3).await.unwrap();
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    let stale = store.writer.swap(&status, new, Some(&checkpoint(2))).await.unwrap();
    assert_eq!(stale, SwapOutcome::Moved, "the target is not where it was thought to be");
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Swapped);
    let again = store.writer.swap(&status, new, None).await.unwrap();
    assert_eq!(again, SwapOutcome::Moved, "a zombie with an old status");
    let unknown = Generation::new(7).unwrap();
    assert_eq!(store.swap(VIEW, unknown).await, SwapOutcome::Moved);
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    assert_eq!(status.visible.unwrap().generation, new);
    assert_eq!(status.retired.unwrap().generation, old);
}

#[tokio::test]
async fn a_swap_by_somebody_who_has_not_seen_the_visible_generation_is_refused() {
    let store = Store::new().await;
    let visible = store.visible(VIEW).await;
    commit(&store, visible, 0, 5).await.unwrap();
    let behind = store.begin(VIEW).await;
    commit(&store, behind, 0, 3).await.unwrap();
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    for seen in [None, status.building] {
        let stale = ViewStatus { visible: seen, ..status };
        let outcome = store.writer.swap(&stale, behind, None).await.unwrap();
        assert_eq!(outcome, SwapOutcome::Moved);
    }
    assert_eq!(store.reader.marker(VIEW, SHARD).await.unwrap().generation, visible);
}

#[tokio::test]
async fn a_generation_whose_place_was_taken_while_it_was_built_is_not_shown() {
    let store = Store::new().await;
    store.visible(VIEW).await;
    let replaced = store.begin(VIEW).await;
    let building = store.begin(VIEW).await;
    assert_eq!(store.swap(VIEW, replaced).await, SwapOutcome::Moved);
    assert_eq!(store.swap(VIEW, building).await, SwapOutcome::Swapped);
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_does() {
    let store = Store::new().await;
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    let genesis = checkpoint(0);
    let begin = || store.writer.begin(&status, &genesis);
    let (a, b) = tokio::join!(begin(), begin());
    let begun: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    assert_eq!(begun.len(), 1);
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    assert_eq!(status.building.unwrap().generation, begun[0]);
}

#[tokio::test]
async fn a_later_generation_has_a_higher_number_even_if_the_clock_went_back() {
    let store = Store::new().await;
    let far = i64::MAX / 1_000_000;
    let names = store.reader.keys().view(VIEW, SHARD);
    store.redis(&["SET", &names.visible(), &far.to_string()]).await;
    assert_eq!(store.begin(VIEW).await.get(), far + 1);
}

#[tokio::test]
async fn a_dropped_generation_is_gone_with_all_its_keys_and_takes_no_zombies_write() {
    let store = Store::new().await;
    let old = store.visible(VIEW).await;
    commit(&store, old, 0, 3).await.unwrap();
    assert!(!store.writer.drop_generation(VIEW, SHARD, old).await.unwrap(), "queries see it");
    let new = store.begin(VIEW).await;
    commit(&store, new, 0, 3).await.unwrap();
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Swapped);
    assert!(store.writer.drop_generation(VIEW, SHARD, old).await.unwrap());
    let zombie = commit(&store, old, 3, 4).await;
    assert!(matches!(zombie, Err(Error::Conflict { .. })), "{zombie:?}");
    let left = store.dump().await;
    assert!(left.iter().all(|(key, _)| !key.contains(&old.to_string())), "{left:?}");
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    assert_eq!((status.visible.unwrap().generation, status.retired), (new, None));
}

#[tokio::test]
async fn a_forgotten_generation_takes_no_zombies_write_even_before_its_data_is_gone() {
    let store = Store::new().await;
    let forgotten = store.begin(VIEW).await;
    commit(&store, forgotten, 0, 3).await.unwrap();
    assert!(store.writer.forget_generation(VIEW, SHARD, forgotten).await.unwrap());
    assert!(store.dump().await.iter().any(|(key, _)| key.contains(":a:alice")), "its data is left");
    for from in [0, 3] {
        let zombie = commit(&store, forgotten, from, 4).await;
        assert!(matches!(zombie, Err(Error::Conflict { .. })), "{zombie:?}");
    }
    assert_eq!(store.writer.status(VIEW, SHARD).await.unwrap().building, None);
}

#[tokio::test]
async fn only_data_that_nobody_knows_of_is_an_orphan() {
    let store = Store::new().await;
    let lost = store.begin(VIEW).await;
    commit(&store, lost, 0, 3).await.unwrap();
    let visible = store.visible(VIEW).await; // takes the place of the one being built
    commit(&store, visible, 0, 3).await.unwrap();
    let building = store.begin(VIEW).await;
    commit(&store, building, 0, 3).await.unwrap();
    let later = building.get() + 1_000_000;
    let names = store.reader.keys().view(VIEW, SHARD);
    let unknown = names.generation(Generation::new(later).unwrap()).account(&account_id("x"));
    store.redis(&["SET", &unknown, "begun since the pointers were read"]).await;

    let removed = store.writer.drop_orphans(ledger::ShardCount::ONE).await.unwrap();
    assert_eq!(removed, 2, "the lost generation's checkpoint and account");
    let left = store.dump().await;
    let has = |number: i64| left.iter().any(|(key, _)| key.contains(&format!(":{number}:")));
    assert!(!has(lost.get()));
    assert!(has(visible.get()) && has(building.get()) && has(later));
}

/// Waits until Redis holds so many clients up.
async fn held_up(store: &Store, clients: i64) {
    loop {
        let info: String = from_redis_value(store.redis(&["INFO", "clients"]).await).unwrap();
        let blocked = info.lines().find_map(|line| line.strip_prefix("blocked_clients:")).unwrap();
        if blocked.trim().parse::<i64>().unwrap() >= clients {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_becomes_visible_while_orphans_are_cleared_away_stays() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let older = store.begin(VIEW).await;
    commit(&store, older, 0, 3).await.unwrap();
    let visible = store.visible(VIEW).await; // takes the place of the one being built
    commit(&store, visible, 0, 3).await.unwrap();
    let names = store.reader.keys().view(VIEW, SHARD);
    // Redis reads while it holds writes up, and takes them in the order in which they came: the older copy is there before the
    // first key is removed, and not yet when the pointers are read.
    store.redis(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let (visible_key, older_name) = (names.visible(), older.to_string());
    let restore = ["SET", &visible_key, &older_name];
    let restored = store.redis(&restore);
    let cleared = async {
        held_up(&store, 1).await;
        store.writer.drop_orphans(ShardCount::ONE).await.unwrap()
    };
    let go_on = async {
        held_up(&store, 2).await;
        store.redis(&["CLIENT", "UNPAUSE"]).await;
    };
    let (_, removed, ()) = tokio::join!(restored, cleared, go_on);
    assert_eq!(removed, 0);
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    assert_eq!((read.marker.generation, read.marker.checkpoint), (older, checkpoint(3)));
    assert!(read.value[0].is_some());
    // By now the other one is not known any more, but it is later than all that are: it may have just been begun.
    assert_eq!(store.writer.drop_orphans(ShardCount::ONE).await.unwrap(), 0);
}

#[tokio::test]
async fn a_generation_that_becomes_visible_again_while_it_is_dropped_loses_no_more() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let old = store.visible(VIEW).await;
    let new = store.begin(VIEW).await;
    assert_eq!(store.swap(VIEW, new).await, SwapOutcome::Swapped);
    let names = store.reader.keys().view(VIEW, SHARD);
    let account = names.generation(old).account(&account_id("x"));
    for part in 0..20 {
        let fill = "for i = 1, 2000 do redis.call('SET', KEYS[1] .. ARGV[1] .. ':' .. i, 'x') end";
        store.redis(&["EVAL", fill, "1", &account, &part.to_string()]).await;
    }
    let size = async || -> i64 { from_redis_value(store.redis(&["DBSIZE"]).await).unwrap() };
    let full = size().await;

    let restored = async {
        while size().await > full - 2_000 {}
        let restore = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('DBSIZE')";
        let left = ["EVAL", restore, "1", &names.visible(), &old.to_string()];
        from_redis_value::<i64>(store.redis(&left).await).unwrap()
    };
    let (dropped, left) = tokio::join!(store.writer.drop_generation(VIEW, SHARD, old), restored);
    assert!(left > 1_000, "there was something left to lose: {left}");
    assert!(!dropped.unwrap(), "a pointer names it");
    assert_eq!(size().await, left);
}

#[tokio::test]
async fn a_rebuild_is_asked_for_once() {
    let store = Store::new().await;
    store.visible(VIEW).await;
    let asked = store.writer.request_rebuild(VIEW, SHARD).await.unwrap();
    assert_eq!(asked, RebuildRequest::Requested);
    assert!(store.writer.status(VIEW, SHARD).await.unwrap().rebuild_requested);
    let building = store.begin(VIEW).await;
    assert!(!store.writer.status(VIEW, SHARD).await.unwrap().rebuild_requested);
    let again = store.writer.request_rebuild(VIEW, SHARD).await.unwrap();
    assert_eq!(again, RebuildRequest::AlreadyBuilding(building));
}

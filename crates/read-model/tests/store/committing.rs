//! A page and its checkpoint are stored together or not at all.

use ledger::Position;
use read_model::{Change, Error, ShardTotals, View};

use crate::support::{SHARD, Store, account, account_id, checkpoint, owned, page, view};

#[tokio::test]
async fn a_page_is_stored_with_the_checkpoint_that_includes_it() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let changes = vec![account("alice", 3, 70), owned("alice")];
    store.writer.commit(&page(View::Accounts, generation, (0, 3), changes)).await.unwrap();
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    assert_eq!(read.marker.checkpoint, checkpoint(3));
    assert_eq!(read.value, [Some(view("alice", 3, 70))]);
}

#[tokio::test]
async fn a_writer_that_is_behind_changes_nothing() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let newer = page(View::Accounts, generation, (0, 3), vec![account("alice", 3, 70)]);
    store.writer.commit(&newer).await.unwrap();
    let before = store.dump().await;
    for from in [0, 2, 4] {
        let stale = page(View::Accounts, generation, (from, 5), vec![account("alice", 1, 5)]);
        let refused = store.writer.commit(&stale).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "from {from}: {refused:?}");
    }
    assert_eq!(store.dump().await, before);
}

#[tokio::test]
async fn a_writer_with_another_history_of_the_same_length_changes_nothing() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    store.writer.commit(&page(View::Accounts, generation, (0, 3), vec![])).await.unwrap();
    let mut other = page(View::Accounts, generation, (3, 5), vec![account("alice", 5, 5)]);
    other.expected.hash = [0xff; 32];
    assert!(matches!(store.writer.commit(&other).await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn storing_a_page_twice_is_storing_it_once() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let changes = vec![account("alice", 3, 70), owned("alice"), account("bob", 2, 0), owned("bob")];
    let first = page(View::Accounts, generation, (0, 3), changes);
    store.writer.commit(&first).await.unwrap();
    let once = store.dump().await;
    // As if the checkpoint had not been stored: Redis went back to an older copy of it.
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    let old = checkpoint(0).encode();
    let client = redis::Client::open(store.config.redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SET")
        .arg(names.checkpoint())
        .arg(old)
        .query_async(&mut connection)
        .await
        .unwrap();
    store.writer.commit(&first).await.unwrap();
    assert_eq!(store.dump().await, once);
}

#[tokio::test]
async fn a_lost_checkpoint_is_not_continued() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    store.writer.commit(&page(View::Accounts, generation, (0, 3), vec![])).await.unwrap();
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    store.redis(&["DEL", &names.checkpoint()]).await;
    for from in [0, 3] {
        let refused =
            store.writer.commit(&page(View::Accounts, generation, (from, 5), vec![])).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "from {from}: {refused:?}");
    }
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await;
    assert!(matches!(read, Err(Error::NotBuilt { .. })), "{read:?}");
}

#[tokio::test]
async fn a_script_that_fails_halfway_leaves_the_checkpoint_and_is_not_read() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    store.redis(&["SET", &names.owner(&crate::support::owner()), "not a set"]).await;
    // What comes before a drop is written before it, and so before the owner's key is found to be none.
    let dropped = Change::BlockDropped { account_id: account_id("alice"), block: 0 };
    let changes = vec![account("alice", 3, 70), dropped, owned("alice")];
    let failed = store.writer.commit(&page(View::Accounts, generation, (0, 3), changes)).await;
    assert!(matches!(failed, Err(Error::WrongType { .. })), "{failed:?}");
    let marker = store.reader.marker(View::Accounts, SHARD).await.unwrap();
    assert_eq!(marker.checkpoint.position, Position::ZERO);
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await;
    assert!(matches!(read, Err(Error::Inconsistent { .. })), "{read:?}");
}

#[tokio::test]
async fn amounts_are_never_rounded() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let amounts = [i64::MAX, i64::MIN, (1 << 53) + 1];
    let changes = amounts.iter().zip(["a", "b", "c"]);
    let changes = changes.map(|(amount, id)| account(id, 3, *amount)).collect();
    store.writer.commit(&page(View::Accounts, generation, (0, 3), changes)).await.unwrap();
    let ids = ["a", "b", "c"].map(account_id);
    let read = store.reader.accounts(SHARD, &ids).await.unwrap().value;
    let balances: Vec<_> = read.iter().flatten().map(|view| view.state.balance).collect();
    assert_eq!(balances, amounts);
}

#[tokio::test]
async fn totals_are_read_with_the_checkpoint_they_belong_to() {
    let store = Store::new().await;
    let generation = store.visible(View::Totals).await;
    assert_eq!(store.reader.totals(SHARD).await.unwrap().value, []);
    let totals = ShardTotals { position: Position::new(3), ..ShardTotals::default() };
    let changes = vec![Change::Totals(totals.clone())];
    store.writer.commit(&page(View::Totals, generation, (0, 3), changes)).await.unwrap();
    let read = store.writer.totals(SHARD, generation).await.unwrap();
    assert_eq!(read, (checkpoint(3), totals));
    let names = store.reader.keys().view(View::Totals, SHARD).generation(generation);
    store.redis(&["DEL", &names.totals()]).await;
    let lost = store.reader.totals(SHARD).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");
    assert!(store.writer.totals(SHARD, generation).await.is_err());
}

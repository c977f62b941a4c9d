//! Pages of statements: whole, in order, and never with a line missing.

use ledger::StreamVersion;
use read_model::{Change, Error, Generation, View};

use crate::support::{
    SHARD, Store, account_id, entry, header, header_from, latest, no_entry, page, stored_entry,
    version,
};

/// Versions 1 to `last`; version 1 and every version for which `silent` holds moved no money.
async fn statement(store: &Store, last: i64, silent: impl Fn(i64) -> bool) -> Generation {
    let generation = store.visible(View::Transactions).await;
    let mut changes: Vec<Change> =
        (1..=last)
            .map(|at| {
                if at == 1 || silent(at) {
                    no_entry("alice", at)
                } else {
                    stored_entry("alice", at)
                }
            })
            .collect();
    changes.push(header("alice", last));
    store.writer.commit(&page(View::Transactions, generation, (0, last), changes)).await.unwrap();
    generation
}

async fn read(
    store: &Store,
    before: Option<StreamVersion>,
    limit: usize,
) -> (Vec<i64>, Option<StreamVersion>) {
    let read = store.reader.statement(SHARD, &account_id("alice"), before, limit).await.unwrap();
    let page = read.value.unwrap();
    (page.entries.iter().map(|entry| entry.version.get()).collect(), page.next)
}

#[tokio::test]
async fn pages_join_to_the_whole_statement_newest_first() {
    let store = Store::new().await;
    statement(&store, 200, |at| at % 7 == 0).await;
    let expected: Vec<i64> = (2..=200).rev().filter(|at| at % 7 != 0).collect();
    for limit in [1, 3, 64, 100, 1000] {
        let (mut all, mut next) = read(&store, None, limit).await;
        while let Some(before) = next {
            let (entries, older) = read(&store, Some(before), limit).await;
            assert!(entries.len() <= limit);
            all.extend(entries);
            next = older;
        }
        assert_eq!(all, expected, "pages of {limit}");
    }
}

#[tokio::test]
async fn the_last_page_says_so() {
    let store = Store::new().await;
    statement(&store, 3, |_| false).await;
    assert_eq!(read(&store, None, 2).await, (vec![3, 2], None));
    assert_eq!(read(&store, None, 1).await, (vec![3], Some(version(3))));
    assert_eq!(read(&store, Some(version(3)), 1).await, (vec![2], None));
    assert_eq!(read(&store, Some(version(2)), 1).await, (vec![], None));
    assert_eq!(read(&store, Some(version(99)), 1).await, (vec![3], Some(version(3))));
}

#[tokio::test]
async fn thousands_of_versions_without_money_cost_short_pages() {
    let store = Store::new().await;
    statement(&store, 4000, |at| at != 2).await;
    let (first, next) = read(&store, None, 10).await;
    assert!(first.is_empty(), "{first:?}");
    let (second, end) = read(&store, next, 10).await;
    assert_eq!((second, end), (vec![2], None));
}

#[tokio::test]
async fn a_hole_is_a_loss_and_not_a_line_less() {
    let store = Store::new().await;
    let generation = statement(&store, 100, |_| false).await;
    let names = store.reader.keys().view(View::Transactions, SHARD).generation(generation);
    store.redis(&["HDEL", &names.block(&account_id("alice"), version(70)), "70"]).await;
    let lost = store.reader.statement(SHARD, &account_id("alice"), None, 50).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");
    assert_eq!(read(&store, None, 5).await.0, [100, 99, 98, 97, 96], "far from the hole");
    store.redis(&["DEL", &names.block(&account_id("alice"), version(1))]).await;
    let lost = store.reader.statement(SHARD, &account_id("alice"), Some(version(64)), 5).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_cut_statement_ends_at_its_oldest_version() {
    let store = Store::new().await;
    let generation = statement(&store, 200, |_| false).await;
    let dropped =
        [0, 1].map(|block| Change::BlockDropped { account_id: account_id("alice"), block });
    let mut changes = dropped.to_vec();
    changes.push(header_from("alice", 200, 128));
    store.writer.commit(&page(View::Transactions, generation, (200, 201), changes)).await.unwrap();
    let (entries, next) = read(&store, None, 1000).await;
    assert_eq!((entries.first(), entries.last(), next), (Some(&200), Some(&128), None));
    let (entries, next) = read(&store, Some(version(128)), 10).await;
    assert_eq!((entries, next), (vec![], None));
}

#[tokio::test]
async fn an_account_without_a_transaction_has_no_latest_one() {
    let store = Store::new().await;
    statement(&store, 1, |_| false).await;
    let latest = store.reader.latest_entries(SHARD, &[account_id("alice")]).await.unwrap();
    assert_eq!(latest.value[0].as_ref().unwrap().entry, None);
}

#[tokio::test]
async fn the_newest_entry_stays_when_something_happens_that_moves_no_money() {
    let store = Store::new().await;
    let generation = store.visible(View::Transactions).await;
    let changes = vec![no_entry("alice", 1), stored_entry("alice", 2), latest("alice", 2, 2)];
    store.writer.commit(&page(View::Transactions, generation, (0, 2), changes)).await.unwrap();
    let frozen = vec![no_entry("alice", 3), header("alice", 3)];
    store.writer.commit(&page(View::Transactions, generation, (2, 3), frozen)).await.unwrap();
    let read = store.reader.latest_entries(SHARD, &[account_id("alice")]).await.unwrap();
    let alice = read.value[0].as_ref().unwrap();
    assert_eq!((alice.header.version, alice.entry.as_ref()), (version(3), Some(&entry(2))));
}

#[tokio::test]
async fn a_newest_entry_that_was_lost_is_not_taken_for_none() {
    let store = Store::new().await;
    let generation = statement(&store, 3, |_| false).await;
    let lost = store.reader.latest_entries(SHARD, &[account_id("alice")]).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");
    // In one page the later change counts, whichever of the two it is.
    let changes = vec![header("alice", 3), latest("alice", 3, 3), header("alice", 4)];
    let page = page(View::Transactions, generation, (3, 4), changes);
    store.writer.commit(&page).await.unwrap();
    let read = store.reader.latest_entries(SHARD, &[account_id("alice")]).await.unwrap();
    let alice = read.value[0].as_ref().unwrap();
    assert_eq!((alice.header.version, alice.entry.as_ref()), (version(4), Some(&entry(3))));
}

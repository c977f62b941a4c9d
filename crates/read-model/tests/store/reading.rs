//! What a query gets: a value and the marker it belongs to, or an honest refusal; never "not there" for what
//! was lost.

use std::time::Duration;

use ledger::{AccountId, AccountNumber, ShardCount, TransactionId};
use read_model::{Change, Error, FoundTransaction, Generation, HeadStamp, Published, View};

use crate::support::{
    LOG_ID, SHARD, Store, account, account_id, checkpoint, entry, header, indexed, numbered, owned,
    owner, page, position, stored_entry, version,
};

#[tokio::test]
async fn an_account_is_absent_only_if_no_view_has_it() {
    let store = Store::new().await;
    let accounts = store.visible(View::Accounts).await;
    let transactions = store.visible(View::Transactions).await;
    store.writer.commit(&page(View::Accounts, accounts, (0, 3), vec![])).await.unwrap();
    let nobody = store.reader.accounts(SHARD, &[account_id("nobody")]).await.unwrap();
    assert_eq!(nobody.value, [None]);

    let opened_at_3 = page(View::Transactions, transactions, (0, 3), vec![header("lost", 3)]);
    store.writer.commit(&opened_at_3).await.unwrap();
    let lost = store.reader.accounts(SHARD, &[account_id("lost")]).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");

    // Opened (version 1) behind the accounts view's position: not there yet.
    let Change::Header { account_id: later, mut header } = header("later", 4) else { panic!() };
    header.version = version(1);
    let changes = vec![Change::Header { account_id: later.clone(), header }];
    store.writer.commit(&page(View::Transactions, transactions, (3, 4), changes)).await.unwrap();
    assert_eq!(store.reader.accounts(SHARD, &[later]).await.unwrap().value, [None]);
}

#[tokio::test]
async fn a_statement_is_absent_only_if_no_view_has_the_account() {
    let store = Store::new().await;
    let accounts = store.visible(View::Accounts).await;
    let transactions = store.visible(View::Transactions).await;
    let changes = vec![account("lost", 3, 0)];
    store.writer.commit(&page(View::Accounts, accounts, (0, 3), changes)).await.unwrap();
    store.writer.commit(&page(View::Transactions, transactions, (0, 3), vec![])).await.unwrap();
    for id in ["lost", "nobody"].map(account_id) {
        let statement = store.reader.statement(SHARD, &id, None, 10).await;
        let latest = store.reader.latest_entries(SHARD, std::slice::from_ref(&id)).await;
        if id.as_str() == "lost" {
            assert!(matches!(statement, Err(Error::Inconsistent { .. })), "{statement:?}");
            assert!(matches!(latest, Err(Error::Inconsistent { .. })), "{latest:?}");
        } else {
            assert_eq!(statement.unwrap().value, None);
            assert_eq!(latest.unwrap().value, [None]);
        }
    }
}

/// Two views of which one is a page ahead, with an account that was opened and moved money in that page.
async fn one_page_ahead(ahead: View, behind: View) -> (Store, [Generation; 2], AccountId) {
    let store = Store::new().await;
    let generations = [store.visible(ahead).await, store.visible(behind).await];
    store.writer.commit(&page(behind, generations[1], (0, 3), vec![])).await.unwrap();
    let change = at_5(ahead, "new");
    store.writer.commit(&page(ahead, generations[0], (0, 5), vec![change])).await.unwrap();
    (store, generations, account_id("new"))
}

fn at_5(view: View, id: &str) -> Change {
    match view {
        View::Accounts => account(id, 5, 0),
        _ => header(id, 5),
    }
}

#[tokio::test]
async fn an_account_opened_and_moved_between_two_views_is_answered_when_both_are_there() {
    for (ahead, behind) in
        [(View::Transactions, View::Accounts), (View::Accounts, View::Transactions)]
    {
        let (store, [_, generation], new) = one_page_ahead(ahead, behind).await;
        let catch_up = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let changes = vec![at_5(behind, "new")];
            store.writer.commit(&page(behind, generation, (3, 5), changes)).await.unwrap();
        };
        let ids = std::slice::from_ref(&new);
        if behind == View::Accounts {
            let (read, ()) = tokio::join!(store.reader.accounts(SHARD, ids), catch_up);
            assert_eq!(read.unwrap().value[0].as_ref().unwrap().position, position(5));
        } else {
            let latest = store.reader.latest_entries(SHARD, ids);
            let statement = store.reader.statement(SHARD, &new, None, 10);
            let (latest, statement, ()) = tokio::join!(latest, statement, catch_up);
            // As of the place where they were read, before it was opened.
            assert_eq!(latest.unwrap().value, [None]);
            assert_eq!(statement.unwrap().value, None);
        }
    }
}

#[tokio::test]
async fn an_account_that_moved_behind_a_view_is_missed_when_the_view_comes_there_without_it() {
    let (store, [_, generation], new) = one_page_ahead(View::Transactions, View::Accounts).await;
    let ids = std::slice::from_ref(&new);
    let unclear = store.reader.accounts(SHARD, ids).await;
    assert!(matches!(unclear, Err(Error::Inconsistent { .. })), "{unclear:?}");
    store.writer.commit(&page(View::Accounts, generation, (3, 5), vec![])).await.unwrap();
    let missed = store.reader.accounts(SHARD, ids).await;
    assert!(matches!(missed, Err(Error::Inconsistent { .. })), "{missed:?}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_no_answer() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    store.writer.commit(&page(View::Accounts, generation, (0, 3), vec![])).await.unwrap();
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    store.redis(&["SET", &names.account(&account_id("alice")), "1000"]).await;
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await;
    assert!(matches!(read, Err(Error::Inconsistent { .. })), "{read:?}");
}

#[tokio::test]
async fn an_owners_accounts_come_in_pages_by_id() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let ids = ["a", "a-1", "b", "c", "cc"];
    let changes = ids.iter().flat_map(|id| [account(id, 3, 0), owned(id)]).collect();
    store.writer.commit(&page(View::Accounts, generation, (0, 3), changes)).await.unwrap();
    let page_after = async |after: Option<&str>| -> Vec<String> {
        let after = after.map(account_id);
        let read = store.reader.owner_accounts(SHARD, &owner(), after.as_ref(), 2).await.unwrap();
        read.value.iter().map(|view| view.opening.account_id.to_string()).collect()
    };
    assert_eq!(page_after(None).await, ["a", "a-1"]);
    assert_eq!(page_after(Some("a-1")).await, ["b", "c"]);
    assert_eq!(page_after(Some("c")).await, ["cc"]);
    assert!(page_after(Some("cc")).await.is_empty());
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    store.redis(&["DEL", &names.account(&account_id("b"))]).await;
    let read = store.reader.owner_accounts(SHARD, &owner(), None, 10).await;
    assert!(matches!(read, Err(Error::Inconsistent { .. })), "{read:?}");
}

#[tokio::test]
async fn a_transaction_is_found_by_its_position() {
    let store = Store::new().await;
    let generation = store.visible(View::Transactions).await;
    let changes = vec![numbered("alice"), indexed(2), stored_entry("alice", 2), header("alice", 2)];
    store.writer.commit(&page(View::Transactions, generation, (0, 2), changes)).await.unwrap();
    let find = async |at: i64| {
        store.reader.transaction(TransactionId { shard: SHARD, position: position(at) }).await
    };
    let Some(FoundTransaction::Entry { account_id: found, entry: read, .. }) =
        find(2).await.unwrap().value
    else {
        panic!("not found")
    };
    assert_eq!((found, read), (account_id("alice"), entry(2)));
    assert_eq!(find(1).await.unwrap().value, None);
    let names = store.reader.keys().view(View::Transactions, SHARD).generation(generation);
    store.redis(&["DEL", &names.block(&account_id("alice"), version(2))]).await;
    let lost = find(2).await;
    assert!(matches!(lost, Err(Error::Inconsistent { .. })), "{lost:?}");
    store.redis(&["DEL", &names.numbers(AccountNumber::new(1).unwrap())]).await;
    let nameless = find(2).await;
    assert!(matches!(nameless, Err(Error::Inconsistent { .. })), "{nameless:?}");
    store.redis(&["SETRANGE", &names.transactions(position(2)), "30", "rubbish"]).await;
    let unreadable = find(2).await;
    assert!(matches!(unreadable, Err(Error::Inconsistent { .. })), "{unreadable:?}");
}

#[tokio::test]
async fn transactions_are_found_wherever_they_stand_in_a_page() {
    let store = Store::new().await;
    let generation = store.visible(View::Transactions).await;
    // With gaps where no transaction begins, and over the end of a part of the index.
    let pages = [vec![3, 4, 7, 254, 255, 256, 258], vec![259, 600], vec![1000]];
    let mut stored = Vec::new();
    let mut at = 0;
    for positions in pages {
        let entries = positions.iter().flat_map(|at| [indexed(*at), stored_entry("alice", *at)]);
        let mut changes = vec![numbered("alice")];
        changes.extend(positions.iter().map(|at| indexed(*at)));
        changes.extend(entries);
        stored.extend(positions);
        let upto = stored[stored.len() - 1];
        changes.push(header("alice", upto));
        store
            .writer
            .commit(&page(View::Transactions, generation, (at, upto), changes))
            .await
            .unwrap();
        at = upto;
    }
    for at in 1..1001 {
        let id = TransactionId { shard: SHARD, position: position(at) };
        let found = store.reader.transaction(id).await.unwrap().value;
        assert_eq!(found.is_some(), stored.contains(&at), "{at}");
    }
}

#[tokio::test]
async fn a_view_had_all_of_the_log_when_it_includes_the_stamped_head() {
    let store = Store::new().await;
    let generation = store.visible(View::Accounts).await;
    let stamp = HeadStamp {
        log_id: LOG_ID,
        position: position(3),
        recorded_at: None,
        seen_at_ms: store.writer.now_ms().await.unwrap(),
    };
    store.writer.stamp_heads(&[(SHARD, stamp)]).await.unwrap();
    let marker = store.reader.marker(View::Accounts, SHARD).await.unwrap();
    assert_eq!((marker.head, marker.complete_at_ms()), (Some(stamp), None));
    assert!(marker.redis_now_ms >= stamp.seen_at_ms);
    store.writer.commit(&page(View::Accounts, generation, (0, 3), vec![])).await.unwrap();
    let marker = store.reader.marker(View::Accounts, SHARD).await.unwrap();
    assert_eq!(marker.complete_at_ms(), Some(stamp.seen_at_ms));
    let other_log = HeadStamp { log_id: ledger::LogId(uuid::Uuid::from_u128(2)), ..stamp };
    store.writer.stamp_heads(&[(SHARD, other_log)]).await.unwrap();
    let marker = store.reader.marker(View::Accounts, SHARD).await.unwrap();
    assert_eq!(marker.complete_at_ms(), None);
}

#[tokio::test]
async fn every_commit_and_swap_is_announced() {
    let store = Store::new().await;
    let old = store.visible(View::Totals).await;
    let mut feed = store.reader.subscribe(ShardCount::ONE).await.unwrap();
    store.writer.commit(&page(View::Totals, old, (0, 3), vec![])).await.unwrap();
    let announced = |generation, at| Published {
        shard: SHARD,
        view: View::Totals,
        generation,
        position: position(at),
    };
    let mut next = async || {
        let next = tokio::time::timeout(Duration::from_secs(5), feed.next()).await;
        next.expect("announced").unwrap()
    };
    assert_eq!(next().await, announced(old, 3));
    let new = store.begin(View::Totals).await;
    store.writer.commit(&page(View::Totals, new, (0, 3), vec![])).await.unwrap();
    assert_eq!(next().await, announced(new, 3));
    let status = store.writer.status(View::Totals, SHARD).await.unwrap();
    store.writer.swap(&status, new, Some(&checkpoint(3))).await.unwrap();
    assert_eq!(next().await, announced(new, 3));
}

#[tokio::test]
async fn the_status_names_every_view_and_generation() {
    let store = Store::new().await;
    let visible = store.visible(View::Accounts).await;
    let building = store.begin(View::Accounts).await;
    store.writer.commit(&page(View::Accounts, building, (0, 3), vec![])).await.unwrap();
    let two = ShardCount::new(2).unwrap();
    let status = store.reader.status(two).await.unwrap();
    assert_eq!(status.len(), 6);
    let built: Vec<_> = status.iter().filter(|status| status.visible.is_some()).collect();
    assert_eq!(built.len(), 1);
    assert_eq!((built[0].view, built[0].shard), (View::Accounts, SHARD));
    assert_eq!(built[0].visible.unwrap().generation, visible);
    assert_eq!(built[0].building.unwrap().checkpoint, Some(checkpoint(3)));
}

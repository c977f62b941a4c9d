//! Lists, page by page.

use dev_servers::Redis;
use ledger::{AccountId, Shard, StreamVersion};
use read_model::{Generation, View};
use service_kit::error_details::reason;

use crate::support::model::Happening;
use crate::support::service::Client;
use crate::support::*;

/// The versions of all entries, page by page.
async fn whole_statement(client: &mut Client, id: &str, page_size: i32) -> Vec<Vec<i64>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.list_transactions(statement(id, page_size, &token)).await.unwrap();
        let page = page.into_inner();
        pages.push(page.transactions.iter().map(|line| line.version).collect());
        token = page.next_page_token;
        if token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_statement_is_paged_newest_first_across_blocks_without_a_gap_or_a_repeat() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    // Versions 2 to 200, with one in seven that moves no money: three blocks of 64 and a bit.
    for version in 2..=200 {
        if version % 7 == 0 {
            model.happen("alice", Happening::LimitSet(version)).await;
        } else {
            model.deposit("alice", version).await;
        }
    }
    let expected: Vec<i64> = (2..=200).rev().filter(|version| version % 7 != 0).collect();
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    for page_size in [1, 7, 63, 64, 65, 500] {
        let pages = whole_statement(&mut client, "alice", page_size).await;
        let size = usize::try_from(page_size).unwrap();
        let (last, full) = pages.split_last().unwrap();
        assert!(full.iter().all(|page| page.len() == size) && last.len() <= size, "{page_size}");
        assert_eq!(pages.concat(), expected, "{page_size}");
    }
    let default = client.list_transactions(statement("alice", 0, "")).await.unwrap().into_inner();
    assert_eq!(default.transactions.len(), 50);
}

#[tokio::test]
async fn a_page_is_filled_although_thousands_of_versions_moved_no_money() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.deposit("alice", 1).await;
    for limit in 0..2500 {
        model.happen("alice", Happening::LimitSet(limit)).await;
    }
    model.deposit("alice", 1).await;
    let service = Service::start(&redis.url(), &[]).await;
    let pages = whole_statement(&mut service.client(), "alice", 10).await;
    assert_eq!(pages, [[2503, 2]]);
}

#[tokio::test]
async fn a_hole_in_a_statement_is_an_error_and_never_a_line_less() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    for _ in 0..9 {
        model.deposit("alice", 1).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    whole_statement(&mut client, "alice", 4).await;

    let key = block_key(&model, "alice", 5).await;
    command(&redis.url(), &["HDEL", &key, "5"]).await;
    let newest = client.list_transactions(statement("alice", 4, "")).await.unwrap().into_inner();
    assert_eq!(newest.transactions.len(), 4); // the hole is further down
    let token = newest.next_page_token;
    let refused = client.list_transactions(statement("alice", 4, &token)).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"), "{refused}");

    command(&redis.url(), &["DEL", &key]).await;
    let refused = client.list_transactions(statement("alice", 4, "")).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"), "{refused}");
}

async fn block_key(model: &Model, id: &str, version: i64) -> String {
    let status = model.writer.status(View::Transactions, Shard::ZERO).await.unwrap();
    let generation: Generation = status.visible.unwrap().generation;
    let keys = model.keys().view(View::Transactions, Shard::ZERO).generation(generation);
    keys.block(&AccountId::new(id).unwrap(), StreamVersion::new(version).unwrap())
}

#[tokio::test]
async fn an_owners_accounts_are_paged_by_id_over_all_shards() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 4).await;
    let mut ids: Vec<String> = (0..45).map(|number| format!("a{number}")).collect();
    for id in &ids {
        model.open(id, "acme").await;
        model.open(&format!("other-{id}"), "other").await;
    }
    ids.sort();
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    for page_size in [1, 15, 44, 45, 46] {
        let (mut listed, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = client.list_accounts(owned("acme", page_size, &token)).await.unwrap();
            let page = page.into_inner();
            assert_eq!(page.read.unwrap().as_of, model.head());
            listed.extend(page.accounts.into_iter().map(|account| account.account_id));
            (token, pages) = (page.next_page_token, pages + 1);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, ids, "{page_size}");
        assert_eq!(pages, ids.len().div_ceil(usize::try_from(page_size).unwrap()));
    }
    let nobody = client.list_accounts(owned("nobody", 0, "")).await.unwrap().into_inner();
    assert_eq!((nobody.accounts.len(), nobody.next_page_token.as_str()), (0, ""));
}

#[tokio::test]
async fn a_page_token_is_of_no_other_list() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    for id in ["alice", "bob"] {
        model.open(id, "alice").await;
        model.deposit(id, 1).await;
        model.deposit(id, 2).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let page = client.list_transactions(statement("alice", 1, "")).await.unwrap().into_inner();
    let of_alice = page.next_page_token;
    client.list_transactions(statement("alice", 2, &of_alice)).await.unwrap();
    let refused = client.list_transactions(statement("bob", 1, &of_alice)).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("PAGE_TOKEN_INVALID"));
    let refused = client.list_accounts(owned("alice", 1, &of_alice)).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("PAGE_TOKEN_INVALID"));
}

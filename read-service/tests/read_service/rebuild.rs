//! A view is built anew beside the one that is read.

use dev_servers::Redis;
use proto::read::GetTotalsRequest;
use read_model::View;
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn readers_do_not_notice_that_generations_are_swapped() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    for number in 0..20 {
        model.open(&format!("a{number}"), "acme").await;
        model.deposit(&format!("a{number}"), 1).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut readers = JoinSet::new();
    for reader in 0..8 {
        let mut client = service.client();
        readers.spawn(async move {
            let id = format!("a{reader}");
            let (mut versions, mut accounts) = (Vec::new(), 0);
            for _ in 0..60 {
                let shown = client.get_balance(balance(&id)).await.unwrap().into_inner();
                versions.push(shown.version);
                let lines = client.list_transactions(statement(&id, 500, "")).await.unwrap();
                let lines = lines.into_inner().transactions;
                assert!(lines.iter().map(|line| line.version).rev().eq(2..2 + lines.len() as i64));
                let owned = client.list_accounts(owned("acme", 500, "")).await.unwrap();
                accounts = owned.into_inner().accounts.len();
                let totals = client.get_totals(GetTotalsRequest::default()).await.unwrap();
                assert!(totals.into_inner().totals.iter().all(|totals| totals.balanced));
            }
            assert!(versions.is_sorted(), "{versions:?}");
            assert_eq!(accounts, 20);
        });
    }
    let shard = model.shard_of("a0");
    let mut swaps = 0;
    while !readers.is_empty() {
        let view = View::ALL[swaps % 3];
        let generation = model.begin(view, shard).await;
        model.fill(view, shard, generation).await;
        model.swap(view, shard, generation).await;
        model.deposit(&format!("a{}", swaps % 8), 1).await;
        model.drop_retired(view, shard).await;
        swaps += 1;
        while let Some(ended) = readers.try_join_next() {
            ended.unwrap();
        }
    }
    assert!(swaps >= 3, "{swaps}");
}

#[tokio::test]
async fn a_page_token_stays_valid_when_the_view_is_built_anew() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    for _ in 0..5 {
        model.deposit("alice", 1).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let first = client.list_transactions(statement("alice", 2, "")).await.unwrap().into_inner();
    let shard = model.shard_of("alice");
    let generation = model.begin(View::Transactions, shard).await;
    model.fill(View::Transactions, shard, generation).await;
    model.swap(View::Transactions, shard, generation).await;
    model.drop_retired(View::Transactions, shard).await;
    model.deposit("alice", 1).await;
    let asked = statement("alice", 2, &first.next_page_token);
    let second = client.list_transactions(asked).await.unwrap().into_inner();
    let versions = |lines: &[proto::types::Transaction]| {
        lines.iter().map(|line| line.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(&first.transactions), [6, 5]);
    assert_eq!(versions(&second.transactions), [4, 3]);
}

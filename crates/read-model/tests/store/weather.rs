//! Redis that goes away, forgets, or would forget.

use std::time::Duration;

use dev_servers::Redis;
use ledger::ShardCount;
use read_model::{Error, Reader, StoreConfig, View, Writer};

use crate::support::{SHARD, Store, account, account_id, page};

#[tokio::test]
async fn a_redis_that_may_evict_is_refused() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), "cf").await;
    store.redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let config = StoreConfig::new(redis.url());
    let refused = Reader::connect(&config).await.err().unwrap();
    assert!(matches!(&refused, Error::Evicting { policy } if policy == "allkeys-lru"), "{refused}");
    assert!(matches!(Writer::connect(&config).await, Err(Error::Evicting { .. })));
    store.redis(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    Reader::connect(&config).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_copies_another_is_refused() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), "cf").await;
    store.redis(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let config = StoreConfig::new(redis.url());
    let refused = Reader::connect(&config).await.err().unwrap();
    assert!(matches!(&refused, Error::Replica), "{refused}");
    assert!(matches!(Writer::connect(&config).await, Err(Error::Replica)));
    store.redis(&["REPLICAOF", "NO", "ONE"]).await;
    Writer::connect(&config).await.unwrap();
}

#[tokio::test]
async fn a_restarted_redis_is_found_again_and_knows_no_scripts_and_no_view() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), "cf").await;
    let generation = store.visible(View::Accounts).await;
    let first = page(View::Accounts, generation, (0, 3), vec![account("alice", 3, 1)]);
    store.writer.commit(&first).await.unwrap();
    redis.kill().await.unwrap();
    let down = store.reader.accounts(SHARD, &[account_id("alice")]).await;
    assert!(matches!(down, Err(Error::Unavailable { .. })), "{down:?}");
    redis.restart().await.unwrap();
    let read = async || store.reader.accounts(SHARD, &[account_id("alice")]).await;
    let mut answer = read().await;
    while matches!(answer, Err(Error::Unavailable { .. })) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = read().await;
    }
    assert!(matches!(answer, Err(Error::NotBuilt { .. })), "{answer:?}");
    let lost = store.writer.commit(&first).await; // the writer's own connection is still the old one
    assert!(matches!(lost, Err(Error::Unavailable { .. })), "{lost:?}");
    let refused = store.writer.commit(&first).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    let again = store.visible(View::Accounts).await;
    assert!(again > generation);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_one_time_out_and_not_the_connection_for_ever() {
    let redis = Redis::start_private().await.unwrap();
    let mut config = StoreConfig::new(redis.url());
    config.response_timeout = Duration::from_millis(200);
    config.connect_timeout = Duration::from_millis(200);
    let reader = Reader::connect(&config).await.unwrap();
    redis.pause().unwrap();
    let silent = reader.marker(View::Accounts, SHARD).await;
    assert!(matches!(silent, Err(Error::Unavailable { .. })), "{silent:?}");
    redis.resume().unwrap();
    let mut answer = reader.marker(View::Accounts, SHARD).await;
    while matches!(answer, Err(Error::Unavailable { .. })) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = reader.marker(View::Accounts, SHARD).await;
    }
    assert!(matches!(answer, Err(Error::NotBuilt { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_lost_subscription_ends_with_an_error() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), "cf").await;
    let mut feed = store.reader.subscribe(ShardCount::ONE).await.unwrap();
    redis.kill().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(10), feed.next()).await.unwrap();
    assert!(matches!(lost, Err(Error::Unavailable { .. })), "{lost:?}");
}

#[tokio::test]
async fn waiting_for_an_announcement_may_be_given_up() {
    let store = Store::new().await;
    let generation = store.visible(View::Totals).await;
    let mut feed = store.reader.subscribe(ShardCount::ONE).await.unwrap();
    for at in 0..20 {
        let _ = tokio::time::timeout(Duration::from_micros(50), feed.next()).await;
        store.writer.commit(&page(View::Totals, generation, (at, at + 1), vec![])).await.unwrap();
    }
    let mut last = 0;
    while last < 20 {
        let next = tokio::time::timeout(Duration::from_secs(5), feed.next()).await;
        last = next.expect("announced").unwrap().position.get();
    }
}

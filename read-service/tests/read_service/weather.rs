//! Redis goes and comes back.

use std::time::{Duration, Instant};

use dev_servers::Redis;
use service_kit::error_details::reason;
use tonic_health::pb::health_check_response::ServingStatus as Serving;

use crate::support::*;

/// Reads until there is an answer; every refusal on the way must be one that tells the client to come again.
async fn until_answered(service: &Service, id: &str) -> i64 {
    in_time(async {
        loop {
            match service.client().get_balance(balance(id)).await {
                Ok(answer) => return answer.into_inner().balance.unwrap().minor_units,
                Err(refused) => {
                    let reason = reason(&refused).unwrap();
                    let known = ["READ_STORE_UNAVAILABLE", "READ_MODEL_REBUILDING"];
                    assert!(known.contains(&reason.as_str()), "{refused}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_redis_that_was_killed_is_used_again_when_it_is_back() {
    let folder = std::env::temp_dir().join(format!("read-service-{}", uuid::Uuid::now_v7()));
    let redis = Redis::open(&folder).await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &["--wait-recheck-ms", "3600000"]).await;
    for round in 1..=3 {
        model.deposit("alice", 1).await;
        assert_eq!(until_answered(&service, "alice").await, round);
        redis.kill().await.unwrap();
        let began = Instant::now();
        let refused = service.client().get_balance(balance("alice")).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("READ_STORE_UNAVAILABLE"));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        service.until(Serving::NotServing).await;
        redis.restart().await.unwrap();
        model.catch_up_again().await; // Redis may have lost its last second
        assert_eq!(until_answered(&service, "alice").await, round);
        service.until(Serving::Serving).await;
    }
    // Publications are heard again too: nothing else wakes a waiting call here.
    service.until_listening(&redis.url()).await;
    let waiting = service.waiting_balance("alice", &format!("cf1.{}.0-5", model.log_id));
    service.until_metric("counterfoil_read_waiters 1").await;
    model.deposit("alice", 1).await;
    assert_eq!(joined(waiting).await.unwrap().0, 4);
    redis.stop().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_not_taken_for_an_empty_bank() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    client.get_balance(balance("alice")).await.unwrap();
    command(&redis.url(), &["FLUSHALL"]).await;
    for _ in 0..3 {
        let refused = client.get_balance(balance("alice")).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"), "{refused}");
        let refused = client.list_accounts(owned("acme", 0, "")).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"), "{refused}");
    }
    service.until(Serving::NotServing).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_in_time() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &["--redis-timeout-ms", "200"]).await;
    redis.pause().unwrap();
    let mut calls = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..50 {
        let mut client = service.client();
        calls.spawn(async move { client.get_balance(balance("alice")).await });
    }
    while let Some(refused) = calls.join_next().await {
        let refused = refused.unwrap().unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("READ_STORE_UNAVAILABLE"), "{refused}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    redis.resume().unwrap();
    assert_eq!(until_answered(&service, "alice").await, 0);
}

#[tokio::test]
async fn a_redis_that_became_a_replica_without_a_master_is_used_again_afterwards() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    command(&redis.url(), &["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
    command(&redis.url(), &["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = service.client().get_balance(balance("alice")).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_STORE_UNAVAILABLE"), "{refused}");
    command(&redis.url(), &["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(until_answered(&service, "alice").await, 0);
}

#[tokio::test]
async fn a_redis_that_copies_another_is_not_asked() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    // It would still answer, with what it had.
    command(&redis.url(), &["REPLICAOF", "127.0.0.1", "1"]).await;
    service.until(Serving::NotServing).await;
    let refused = service.client().get_balance(balance("alice")).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_STORE_UNAVAILABLE"), "{refused}");
    command(&redis.url(), &["REPLICAOF", "NO", "ONE"]).await;
    service.until(Serving::Serving).await;
    assert_eq!(until_answered(&service, "alice").await, 0);
}

#[tokio::test]
async fn a_server_that_starts_before_its_redis_serves_when_it_is_there() {
    let redis = Redis::start_private().await.unwrap();
    redis.stop().await.unwrap();
    let service = Service::start_unready(&redis.url(), &[]).await;
    let refused = service.client().get_balance(balance("alice")).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_STORE_UNAVAILABLE"), "{refused}");
    redis.restart().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    service.until(Serving::Serving).await;
    assert_eq!(until_answered(&service, "alice").await, 0);
}

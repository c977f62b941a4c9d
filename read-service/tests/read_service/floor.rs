//! A server never answers below what it has answered, whatever happens to Redis.

use dev_servers::Redis;
use proto::read::GetTotalsRequest;
use service_kit::error_details::{metadata, reason};

use crate::support::*;

#[tokio::test]
async fn a_read_model_that_went_backwards_is_not_answered_from() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let older = model.deposit("alice", 1).await;
    let dump = dump_all(&redis).await;
    let newer = model.deposit("alice", 2).await;
    let seen = client.get_balance(balance("alice")).await.unwrap().into_inner();
    assert_eq!(seen.read.unwrap().as_of, newer);

    // Redis comes back as an older copy of itself.
    restore_all(&redis, &dump).await;
    for _ in 0..3 {
        let refused = client.get_balance(balance("alice")).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_LAGGING"), "{refused}");
        assert_eq!(metadata(&refused)["as_of"], older);
    }
    // Views that this server has not answered from have no floor yet.
    client.get_totals(GetTotalsRequest::default()).await.unwrap();

    // When the projector has caught up, all is well again.
    model.catch_up_again().await;
    let again = client.get_balance(balance("alice")).await.unwrap().into_inner();
    assert_eq!(again.balance.unwrap().minor_units, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_at_once_never_see_the_position_go_back() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut readers = tokio::task::JoinSet::new();
    let highest = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    for _ in 0..16 {
        let (mut client, highest) = (service.client(), highest.clone());
        readers.spawn(async move {
            for _ in 0..200 {
                let before = highest.load(std::sync::atomic::Ordering::SeqCst);
                let answer = client.get_balance(balance("alice")).await.unwrap().into_inner();
                assert!(answer.version >= before, "{} after {before}", answer.version);
                highest.fetch_max(answer.version, std::sync::atomic::Ordering::SeqCst);
            }
        });
    }
    while !readers.is_empty() {
        model.deposit("alice", 1).await;
        while let Some(ended) = readers.try_join_next() {
            ended.unwrap();
        }
    }
}

#[tokio::test]
async fn a_new_incarnation_begins_anew_and_old_tokens_are_told_so() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let old_token = model.deposit("alice", 5).await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    client.get_balance(balance("alice")).await.unwrap();

    // An operator has restored a backup; its projector takes over. Lower positions are right now.
    let mut restored = Model::next_incarnation(&redis.url(), 2).await;
    let new_token = restored.open("alice", "acme").await;
    let answer = client.get_balance(fresh_balance("alice", at_least(&new_token))).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!((answer.version, answer.read.unwrap().as_of), (1, new_token));
    let refused = client.get_balance(fresh_balance("alice", at_least(&old_token))).await;
    assert_eq!(reason(&refused.unwrap_err()).as_deref(), Some("LOG_CHANGED"));
}

#[tokio::test]
async fn what_an_abandoned_log_says_is_not_told() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    client.get_balance(balance("alice")).await.unwrap();
    let restored = Model::claim(&redis.url(), 1, 2, 0).await;
    let token = format!("cf1.{}.0-1", restored.log_id);
    let refused = client.get_balance(fresh_balance("alice", at_least(&token))).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"));
    let refused = client.get_balance(balance("alice")).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_REBUILDING"));
}

/// Every key of Redis, as it is.
async fn dump_all(redis: &Redis) -> Vec<(String, Vec<u8>)> {
    let mut connection = connection(redis).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut dump = Vec::new();
    for key in keys {
        let value = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        dump.push((key, value));
    }
    dump
}

async fn restore_all(redis: &Redis, dump: &[(String, Vec<u8>)]) {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("FLUSHALL").ignore();
    for (key, value) in dump {
        pipeline.cmd("RESTORE").arg(key).arg(0).arg(value).ignore();
    }
    let () = pipeline.query_async(&mut connection(redis).await).await.unwrap();
}

async fn connection(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

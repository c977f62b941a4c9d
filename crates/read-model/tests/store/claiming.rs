//! One Redis, one log.

use ledger::{LogId, ShardCount};
use read_model::{Error, LogRecord};
use uuid::Uuid;

use crate::support::{LOG_ID, Store};

fn record(log: u128, first: u128, incarnation: i32) -> LogRecord {
    LogRecord {
        log_id: LogId(Uuid::from_u128(log)),
        first_log_id: LogId(Uuid::from_u128(first)),
        incarnation,
        shards: ShardCount::ONE,
        renewed_at_ms: 0,
    }
}

#[tokio::test]
async fn readers_learn_from_the_projector_which_log_it_is() {
    let store = Store::new().await;
    assert_eq!(store.reader.log().await.unwrap(), None);
    store.writer.claim(&record(1, 1, 1)).await.unwrap();
    let found = store.reader.log().await.unwrap().unwrap();
    assert_eq!((found.log_id, found.shards), (LOG_ID, ShardCount::ONE));
    assert!(found.renewed_at_ms > 0);
}

#[tokio::test]
async fn a_living_log_is_not_overwritten_by_another_one() {
    let store = Store::new().await;
    store.writer.claim(&record(1, 1, 1)).await.unwrap();
    store.writer.claim(&record(1, 1, 1)).await.unwrap();
    let refused = store.writer.claim(&record(2, 2, 9)).await;
    assert!(matches!(refused, Err(Error::OtherLog { owner }) if owner == LOG_ID), "{refused:?}");
}

#[tokio::test]
async fn a_later_incarnation_takes_over_at_once_and_an_earlier_one_does_not() {
    let store = Store::new().await;
    store.writer.claim(&record(1, 1, 1)).await.unwrap();
    store.writer.claim(&record(2, 1, 2)).await.unwrap();
    let refused = store.writer.claim(&record(1, 1, 1)).await;
    assert!(matches!(refused, Err(Error::OtherLog { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_log_that_nobody_has_spoken_for_is_replaced() {
    let store = Store::new().await;
    store.writer.claim(&record(1, 1, 1)).await.unwrap();
    // The time is the last 8 bytes of the record.
    let key = store.reader.keys().log();
    store.redis(&["SETRANGE", &key, "39", "\0\0\0\0\0\0\0\0"]).await;
    store.writer.claim(&record(2, 2, 1)).await.unwrap();
    assert_eq!(store.reader.log().await.unwrap().unwrap().log_id, LogId(Uuid::from_u128(2)));
}

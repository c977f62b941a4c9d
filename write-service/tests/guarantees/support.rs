//! What the tests share: a log of one's own, services on it, calls, a proxy that loses answers, and the judge.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod answer;
pub(crate) mod batch;
pub(crate) mod call;
mod growth;
pub(crate) mod history;
pub(crate) mod judge;
pub(crate) mod load;
pub(crate) mod proxy;
mod raw;
pub(crate) mod service;

pub(crate) use self::{
    admin::Admin,
    answer::{Answer, Done, Refusal},
    batch::{BatchAnswer, atomic, command, independent},
    call::*,
    history::History,
    load::{every_one, mixed_calls, opened_accounts, retried},
    proxy::{Fault, Proxy},
    service::{Client, Log, Service},
};

use std::time::Duration;

/// Makes two tests of one: on a log with one shard, and on one with four.
macro_rules! with_one_shard_and_four {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn with_one_shard() {
                super::super::$name(1).await;
            }

            #[tokio::test]
            async fn with_four_shards() {
                super::super::$name(4).await;
            }
        }
    )*};
}
pub(crate) use with_one_shard_and_four;

/// Longest wait for anything. A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds. The pause only keeps the asking cheap.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    within(what, asking).await;
}

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(happened) => happened,
        Err(_) => panic!("waited too long: {what}"),
    }
}

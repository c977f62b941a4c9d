//! `counterfoil verify` notices what somebody with all rights did behind the services' backs.

use std::process::Command;

use redis::{Client, Commands};

use crate::support::{Answer, PROGRAM, Stack, Stores, eventually, statements};

/// As an attacker or a careless administrator would.
async fn as_superuser(stores: &Stores, statements: &str) {
    dev_servers::tamper(&stores.database_url, statements).await;
}

/// A log with real statements in it, and nothing running that could notice or repair what is broken next.
async fn imported() -> Stores {
    let stores = Stores::fresh().await;
    let stack = Stack::start(&stores);
    stack.run(&["import", statements().to_str().unwrap()]);
    eventually("everything agrees", || stack.run(&["verify"]).code() == 0);
    let (_, ended) = stack.end("TERM");
    assert!(ended.success());
    stores
}

/// What verify says is not as it should be.
fn findings(stores: &Stores) -> String {
    let mut verify = Command::new(PROGRAM);
    verify.arg("verify").env("DATABASE_URL", &stores.database_url);
    verify.env("REDIS_URL", &stores.redis_url).env("REDIS_KEY_PREFIX", &stores.redis_prefix);
    let answer = Answer(verify.output().unwrap());
    assert_eq!(answer.code(), 1, "{}{}", answer.out(), answer.err());
    answer.out()
}

/// The one key of a test's own that ends like this.
fn key(stores: &Stores, end: &str) -> (redis::Connection, String) {
    let mut redis = Client::open(stores.redis_url.as_str()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis.keys(format!("{}:*{end}", stores.redis_prefix)).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    (redis, keys.into_iter().next().unwrap())
}

#[tokio::test]
async fn a_row_that_was_edited_is_named() {
    let stores = imported().await;
    as_superuser(
        &stores,
        "UPDATE counterfoil.events SET balance = balance + 1 WHERE position = 1000",
    )
    .await;
    let found = findings(&stores);
    assert!(found.contains("row 1000 (account cz-"), "{found}");
    assert!(found.contains("do not match their digest"), "{found}");
}

#[tokio::test]
async fn a_row_that_was_deleted_is_named() {
    let stores = imported().await;
    as_superuser(&stores, "DELETE FROM counterfoil.events WHERE position = 1000").await;
    assert!(findings(&stores).contains("row 1000: missing"));
}

#[tokio::test]
async fn a_batch_that_was_deleted_in_the_middle_is_named() {
    let stores = imported().await;
    let delete = "WITH b AS (DELETE FROM counterfoil.batches WHERE first_position =
                      (SELECT max(first_position) FROM counterfoil.batches WHERE first_position < 1000)
                  RETURNING first_position, last_position)
                  DELETE FROM counterfoil.events USING b WHERE position BETWEEN first_position AND last_position";
    as_superuser(&stores, delete).await;
    let found = findings(&stores);
    assert!(found.contains("the next batch begins at"), "{found}");
    assert!(found.contains(": missing"), "{found}");
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_noticed_by_what_redis_has_seen() {
    let stores = imported().await;
    let cut = "DELETE FROM counterfoil.events WHERE position >= (SELECT max(first_position) FROM counterfoil.batches);
               DELETE FROM counterfoil.batches WHERE first_position = (SELECT max(first_position) FROM counterfoil.batches)";
    as_superuser(&stores, cut).await;
    let found = findings(&stores);
    assert!(found.contains("its end was cut off"), "{found}");
}

#[tokio::test]
async fn a_balance_that_was_edited_in_redis_is_named() {
    let stores = imported().await;
    let (mut redis, key) = key(&stores, ":a:cz-539");
    let mut value: Vec<u8> = redis.get(&key).unwrap();
    // Format, status, version and the two bytes of the position stand before the balance.
    value[5] ^= 2;
    let _: () = redis.set(&key, value).unwrap();
    let found = findings(&stores);
    assert!(found.contains("cz-539"), "{found}");
}

#[tokio::test]
async fn a_key_that_was_deleted_from_redis_is_named() {
    for end in [":a:cz-539", ":h:cz-539"] {
        let stores = imported().await;
        let (mut redis, key) = key(&stores, end);
        let _: () = redis.del(&key).unwrap();
        let found = findings(&stores);
        assert!(found.contains("cz-539"), "{found}");
    }
}

#[tokio::test]
async fn an_account_that_only_redis_has_is_named() {
    let stores = imported().await;
    let (mut redis, there) = key(&stores, ":a:cz-539");
    let value: Vec<u8> = redis.get(&there).unwrap();
    let _: () = redis.set(there.replace("cz-539", "nobody"), value).unwrap();
    let found = findings(&stores);
    assert!(found.contains("nobody"), "{found}");
}

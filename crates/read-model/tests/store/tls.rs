//! The way to Redis: encrypted and verified, or not taken.

use std::error::Error as _;

use dev_credentials::Authority;
use dev_servers::{Redis, ServerTls};
use ledger::ShardCount;
use read_model::{Error, Reader, StoreConfig, View, Writer};

use crate::support::{SHARD, checkpoint};

/// What a server at this name shows.
fn shown(authority: &Authority, host: &str) -> ServerTls {
    let pair = authority.server_named(host);
    ServerTls::read(&pair.cert, &pair.key).unwrap()
}

/// What has to stand in a URL to trust an authority and nobody else.
fn trust(authority: &Authority) -> String {
    format!("?sslmode=verify-full&sslrootcert={}", authority.ca_file().display())
}

/// Why there is no connection, with its causes.
async fn refusal(url: &str) -> String {
    match Reader::connect(&StoreConfig::new(url)).await {
        Ok(_) => "connected".to_owned(),
        Err(error) => {
            format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
        }
    }
}

#[tokio::test]
async fn redis_is_talked_to_only_when_it_is_who_it_should_be() {
    let authority = Authority::new();
    let redis = Redis::start_private_with_tls(shown(&authority, "localhost")).await.unwrap();
    let by_name = redis.tls_url("localhost").unwrap();
    let config = StoreConfig::new(format!("{by_name}{}", trust(&authority)));
    let writer = Writer::connect(&config).await.unwrap();
    let reader = Reader::connect(&config).await.unwrap();
    let mut feed = reader.subscribe(ShardCount::ONE).await.unwrap();
    let status = writer.status(View::Accounts, SHARD).await.unwrap();
    let generation = writer.begin(&status, &checkpoint(0)).await.unwrap().unwrap();
    let status = writer.status(View::Accounts, SHARD).await.unwrap();
    writer.swap(&status, generation, None).await.unwrap();
    assert_eq!(feed.next().await.unwrap().generation, generation);
    assert_eq!(reader.marker(View::Accounts, SHARD).await.unwrap().generation, generation);

    let stranger = Authority::new(); // of the same name
    let refused = refusal(&format!("{by_name}{}", trust(&stranger))).await;
    assert!(refused.contains("BadSignature"), "{refused}");
    let by_address = redis.tls_url("127.0.0.1").unwrap();
    let other_name = refusal(&format!("{by_address}{}", trust(&authority))).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let plain = redis.url().replacen("redis://", "rediss://", 1);
    let no_tls = refusal(&format!("{plain}{}", trust(&authority))).await;
    assert_ne!(no_tls, "connected", "there is no TLS at that port");
    let unsaid = Reader::connect(&StoreConfig::new(by_name)).await.err().unwrap();
    assert!(matches!(unsaid, Error::Unprotected(_)), "{unsaid}");
}

//! What is kept of who called and what was asked: no credential, and nothing without end.

use std::process::Stdio;

use dev_credentials::{Authority, TokenIssuer, assert_untold, claims, now};
use dev_servers::Redis;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::access::{Guarded, Shown, settings};
use crate::support::*;

const PASSWORD: &str = "correct-horse-battery";

#[tokio::test]
async fn no_credential_stands_in_the_log_of_the_process() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.stamp_heads().await;
    let login = format!(">{PASSWORD}");
    command(&redis.url(), &["ACL", "SETUSER", "reader", "on", &login, "~*", "&*", "+@all"]).await;
    let url = redis.url().replacen("redis://", &format!("redis://reader:{PASSWORD}@"), 1);
    let (authority, issuer) = (Authority::new(), TokenIssuer::new());
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_read-service"))
        .args(["--listen-addr", &addr.to_string()])
        .args(settings(&authority, &issuer))
        .env("REDIS_URL", &url)
        .env("LOG_FILTER", "trace")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = process.stderr.take().unwrap();
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).await.unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    in_time(async {
        while TcpStream::connect(addr).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;

    let everything = json!({"scope": "read admin", "accounts": "*"});
    let good = issuer.token("teller", &everything);
    let expired = issuer.sign(&claims("teller", &json!({"exp": now() - 60})));
    let forged = TokenIssuer::new().token("teller", &everything);
    let service = Guarded::at(addr, authority, issuer);
    service.until_serving().await;
    let caller = service.client(&Shown::Header(format!("Bearer {good}"))).await;
    let mut client = caller.client.clone();
    client.get_balance(caller.request(balance("alice"))).await.unwrap();
    // Whatever is refused, and however much of it there is.
    let long = "x".repeat(100_000);
    client.get_account(caller.request(account(&long))).await.unwrap_err();
    client.list_accounts(caller.request(owned("acme", 0, &long))).await.unwrap_err();
    client.get_transaction(caller.request(transaction(&long))).await.unwrap_err();
    client.get_balance(caller.request(fresh_balance("alice", at_least(&long)))).await.unwrap_err();
    for bad in [&*expired, &*forged, "hunter2.hunter2.hunter2", "hunter2"] {
        let caller = service.client(&Shown::Header(format!("Bearer {bad}"))).await;
        let refused = caller.client.clone().get_balance(caller.request(balance("alice"))).await;
        refused.unwrap_err();
    }
    // What cannot be asked is told, with the place that it was to be asked at.
    redis.kill().await.unwrap();
    client.get_balance(caller.request(balance("alice"))).await.unwrap_err();
    process.kill().await.unwrap();
    let text = reading.join_next().await.unwrap().unwrap();
    assert!(text.contains("TOKEN_INVALID"), "it tells what happened: {text}");
    assert_untold(&text, &[&good, &expired, &forged]);
    assert!(!text.contains("hunter2") && !text.contains("PRIVATE KEY"));
    assert!(!text.contains(PASSWORD), "the login of Redis");
    let longest = text.lines().map(str::len).max().unwrap();
    assert!(longest < 4_000, "{longest}");
}

//! What is kept of who called and what was asked: his name with each event, no credential anywhere, and nothing without end.

use std::process::Stdio;

use dev_credentials::{Authority, TokenIssuer, assert_untold, claims, now};
use dev_servers::Postgres;
use event_store::connect::{Purpose, connect};
use proto::write::{BatchMode, write_service_client::WriteServiceClient};
use serde_json::json;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use super::open_for;
use crate::support::{
    access::{Guarded, Shown, settings},
    *,
};

const PASSWORD: &str = "correct-horse-battery";

/// The actors of every event, by position.
async fn actors(log: &Log) -> Vec<Option<String>> {
    let sql = "SELECT actor FROM counterfoil.events ORDER BY shard, position";
    log.admin().await.texts(sql).await
}

#[tokio::test]
async fn every_event_names_who_caused_it() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let teller = service.client(&Shown::Certificate(service.authority.client("teller"))).await;
    teller.done(open_for("a", "acme")).await;
    let operator = service.operator().await;
    operator.done(open_for("b", "shop")).await;
    let acme = service.owner("acme").await;
    acme.done(deposit("a", 10)).await;
    acme.done(transfer("a", "b", 1)).await; // two events
    acme.refused(withdraw("a", 100)).await; // kept, as the rules refuse it
    acme.refused(withdraw("b", 1)).await; // not kept
    let calls = vec![deposit("a", 1), deposit("a", 2)];
    acme.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls.clone()).await.unwrap();
    acme.stream(calls).await.unwrap();
    let mut expected = vec!["subject:CN=teller,O=Example", "token:operator"];
    expected.extend(["token:acme-app"; 8]);
    let actors: Vec<_> = actors(&log).await.into_iter().map(Option::unwrap).collect();
    assert_eq!(actors, expected);
    log.judge().await;
}

#[tokio::test]
async fn without_access_control_no_event_names_anybody() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    assert_eq!(actors(&log).await, [None]);
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_of_its_caller() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    // It is over, but for what clocks may differ by: two seconds are left.
    let more = json!({"scope": "write", "accounts": "*", "exp": now() - 28});
    let token = service.issuer.sign(&claims("t", &more));
    let client = service.client(&Shown::Header(format!("Bearer {token}"))).await;
    client.done(open("a")).await;
    let open_for_ever = futures::stream::pending();
    let mut stream = WriteServiceClient::new(client.channel.clone());
    let answers = stream.execute_stream(client.request(open_for_ever)).await.unwrap();
    let ended = within("the end", answers.into_inner().message()).await.unwrap_err();
    let refusal = Refusal::from(ended);
    assert_eq!((refusal.reason.as_str(), refusal.applied()), ("TOKEN_INVALID", "false"));
    // And so is every call, although the token was good before.
    assert_eq!(client.refused(deposit("a", 1)).await.reason, "TOKEN_INVALID");
}

/// A database to which nobody connects without the password.
async fn database_with_password(server: &Postgres) -> String {
    let url = server.create_database().await.unwrap();
    let admin = Admin::connect(&url).await;
    admin.run(&format!("ALTER ROLE counterfoil PASSWORD '{PASSWORD}'")).await;
    let rules = admin.texts("SELECT current_setting('hba_file')").await.pop().flatten().unwrap();
    let rule = "SELECT 'host all all 127.0.0.1/32 scram-sha-256'";
    admin.run(&format!("COPY ({rule}) TO '{rules}'")).await;
    admin.run("SELECT pg_reload_conf()").await;
    let refused = async || connect(&url, "test", Purpose::Migrate).await.is_err();
    until("nobody connects without it", refused).await;
    url.replacen("counterfoil@", &format!("counterfoil:{PASSWORD}@"), 1)
}

#[tokio::test]
async fn no_credential_stands_in_the_log_of_the_process() {
    let server = Postgres::start_private().await.unwrap();
    let log = Log::create_at(database_with_password(&server).await, 1).await;
    let (authority, issuer) = (Authority::new(), TokenIssuer::new());
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_write-service"))
        .args(["--listen-addr", &addr.to_string(), "--metrics-addr", "127.0.0.1:0"])
        .args(settings(&authority, &issuer))
        .env("DATABASE_URL", &log.url)
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
    until("the port is open", async || tokio::net::TcpStream::connect(addr).await.is_ok()).await;

    let everything = json!({"scope": "write", "accounts": "*"});
    let good = issuer.token("teller", &everything);
    let expired = issuer.sign(&claims("teller", &json!({"exp": now() - 60})));
    let forged = TokenIssuer::new().token("teller", &everything);
    let service = Guarded::at(addr, authority, issuer);
    let client = service.client(&Shown::Header(format!("Bearer {good}"))).await;
    until("the log is there", async || {
        client.send(open(&format!("a{}", Uuid::now_v7()))).await.is_ok()
    })
    .await;
    // Whatever is refused, and however much of it there is.
    let long = "x".repeat(100_000);
    client.refused(deposit(&long, 1)).await;
    client.refused(transfer("a", &long, 1)).await;
    client.refused(open_for("b", &long)).await;
    client.refused(deposit("a", 1).with_id_text(&long)).await;
    client.refused(deposit("a", 1).referring_to(&long)).await;
    client.refused(deposit("a", 1).in_currency(&long)).await;
    for bad in [&*expired, &*forged, "hunter2.hunter2.hunter2", "hunter2"] {
        let client = service.client(&Shown::Header(format!("Bearer {bad}"))).await;
        client.refused(deposit("a", 1)).await;
    }
    // What cannot be done is told, with the place that it was to be done at.
    server.kill().await.unwrap();
    client.refused(deposit("a", 1)).await;
    process.kill().await.unwrap();
    let text = reading.join_next().await.unwrap().unwrap();
    assert!(text.contains("TOKEN_INVALID"), "it tells what happened: {text}");
    assert_untold(&text, &[&good, &expired, &forged]);
    assert!(!text.contains("hunter2") && !text.contains("PRIVATE KEY"));
    assert!(!text.contains(PASSWORD), "the login of Postgres");
    let longest = text.lines().map(str::len).max().unwrap();
    assert!(longest < 4_000, "{longest}");
}

//! What tests and `counterfoil up` rely on, with real servers.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dev_servers::{Postgres, Redis, TestServers};
use tokio_postgres::NoTls;

/// Runs one statement as somebody who got only the URL would; the first column of the first row.
async fn ask(url: &str, statement: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let answer = async {
        let rows = client.query(statement, &[]).await?;
        Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
    };
    tokio::select! { answer = answer => answer, ended = connection => ended.map(|()| String::new()) }
}

/// Sends inline commands; everything that comes back.
fn ask_redis(url: &str, commands: &str) -> std::io::Result<String> {
    let place = url.trim_start_matches("redis://");
    let (password, address) = place.split_once('@').unwrap_or(("", place));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    if let Some(password) = password.strip_prefix(':') {
        write!(stream, "AUTH {password}\r\n")?;
    }
    write!(stream, "{commands}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn every_test_gets_an_empty_database_and_a_prefix_of_its_own() {
    let servers = TestServers::get();
    let (one, two) = (servers.database().await, servers.database().await);
    assert_ne!(one, two);
    assert_ne!(servers.redis_prefix(), servers.redis_prefix());
    ask(&one, "CREATE TABLE only_here ()").await.unwrap();
    let tables = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'only_here'";
    assert_eq!(ask(&two, tables).await.unwrap(), "0");
}

#[tokio::test]
async fn the_servers_run_with_the_settings_the_ledger_insists_on() {
    let servers = TestServers::get();
    let url = servers.database().await;
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        assert_eq!(ask(&url, &format!("SHOW {setting}")).await.unwrap(), value, "{setting}");
    }
    let policy = ask_redis(&servers.redis(), "CONFIG GET maxmemory-policy").unwrap();
    assert!(policy.contains("noeviction"), "{policy}");
}

#[tokio::test]
async fn a_killed_server_starts_again_at_the_same_place() {
    let postgres = Postgres::start_private().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    ask(&url, "CREATE TABLE kept ()").await.unwrap();
    postgres.kill().await.unwrap();
    assert!(!postgres.is_running());
    assert!(ask(&url, "SELECT 'there'").await.is_err());
    postgres.restart().await.unwrap();
    let kept = ask(&url, "SELECT tablename::text FROM pg_tables WHERE tablename = 'kept'").await;
    assert_eq!(kept.unwrap(), "kept");

    let redis = Redis::start_private().await.unwrap();
    ask_redis(&redis.url(), "SET gone 1").unwrap();
    redis.kill().await.unwrap();
    assert!(ask_redis(&redis.url(), "PING").is_err());
    redis.restart().await.unwrap();
    assert!(ask_redis(&redis.url(), "GET gone").unwrap().contains("$-1"));
}

#[tokio::test]
async fn a_paused_server_answers_only_when_it_goes_on() {
    let postgres = Postgres::start_private().await.unwrap();
    let url = postgres.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let mut connection = std::pin::pin!(connection);
    postgres.pause().unwrap();
    let mut answer = std::pin::pin!(client.simple_query("SELECT 1"));
    tokio::select! {
        _ = &mut answer => panic!("a paused Postgres answered"),
        _ = &mut connection => panic!("a paused Postgres cut the connection"),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    postgres.resume().unwrap();
    tokio::select! {
        answer = &mut answer => { answer.unwrap(); }
        _ = &mut connection => panic!("the connection was cut"),
    }
}

#[tokio::test]
async fn data_that_is_kept_is_there_in_the_next_run_and_needs_the_password() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let postgres = Postgres::open(folder.path()).await.unwrap();
        let redis = Redis::open(folder.path()).await.unwrap();
        let (url, redis_url) = (postgres.url(), redis.url());
        ask(&url, "CREATE TABLE IF NOT EXISTS runs (run int)").await.unwrap();
        let runs = ask(&url, "SELECT count(*)::text FROM runs").await.unwrap();
        assert_eq!(runs, run.to_string());
        ask(&url, "INSERT INTO runs VALUES (1)").await.unwrap();
        let runs = ask_redis(&redis_url, "INCR runs").unwrap();
        assert!(runs.contains(&format!(":{}", run + 1)), "{runs}");

        let [without, redis_without] =
            [url, redis_url].map(|url| url.replace(url.split([':', '@']).nth(2).unwrap(), "x"));
        assert!(ask(&without, "SELECT 'in'").await.is_err());
        assert!(!ask_redis(&redis_without, "GET runs").unwrap().contains(":1"));
        postgres.stop().await.unwrap();
        redis.stop().await.unwrap();
    }
}

#[tokio::test]
async fn servers_end_when_the_process_that_owns_them_is_killed() {
    let (urls, folders) = killed_owner("owner_of_temporary_servers", None);
    eventually("Redis ends", || ask_redis(&urls[1], "PING").is_err());
    for folder in folders {
        eventually("its folder is removed", || !Path::new(&folder).exists());
    }
    assert!(ask(&urls[0], "SELECT 'there'").await.is_err());
}

#[tokio::test]
async fn kept_data_can_be_opened_right_after_its_owner_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (urls, _) = killed_owner("owner_of_kept_servers", Some(folder.path()));
    let postgres = Postgres::open(folder.path()).await.unwrap();
    let redis = Redis::open(folder.path()).await.unwrap();
    assert_ne!(redis.url(), urls[1]);
    let url = postgres.url();
    let kept = ask(&url, "SELECT tablename::text FROM pg_tables WHERE tablename = 'kept'");
    assert_eq!(kept.await.unwrap(), "kept");
    assert!(ask_redis(&redis.url(), "GET kept").unwrap().contains("yes"));
}

/// Runs one of the two owners below in a process of its own and kills it as soon as its servers run.
fn killed_owner(owner: &str, folder: Option<&Path>) -> (Vec<String>, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", owner, "--nocapture"]);
    command.env("OWNED_FOLDER", folder.unwrap_or_else(|| Path::new("")));
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap).skip_while(|line| !line.ends_with("owned:"));
    lines.next();
    let urls = lines.by_ref().take(2).collect();
    let folders = lines.by_ref().take(2).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    (urls, folders)
}

#[tokio::test]
#[ignore = "run by other tests, to be killed"]
async fn owner_of_temporary_servers() {
    let postgres = Postgres::start_private().await.unwrap();
    let redis = Redis::start_private().await.unwrap();
    postgres.pause().unwrap(); // a paused server ends as well
    wait_to_be_killed(&postgres, &redis);
}

#[tokio::test]
#[ignore = "run by other tests, to be killed"]
async fn owner_of_kept_servers() {
    let folder = std::env::vars().find(|(name, _)| name == "OWNED_FOLDER").unwrap().1;
    let postgres = Postgres::open(Path::new(&folder)).await.unwrap();
    let redis = Redis::open(Path::new(&folder)).await.unwrap();
    ask(&postgres.url(), "CREATE TABLE kept ()").await.unwrap();
    ask_redis(&redis.url(), "SET kept yes").unwrap();
    wait_to_be_killed(&postgres, &redis);
}

fn wait_to_be_killed(postgres: &Postgres, redis: &Redis) {
    println!("\nowned:\n{}\n{}", postgres.url(), redis.url());
    for log in [postgres.log_file(), redis.log_file()] {
        println!("{}", log.parent().unwrap().display());
    }
    std::thread::sleep(Duration::from_secs(600));
}

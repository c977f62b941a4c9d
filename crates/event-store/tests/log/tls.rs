//! The way to Postgres: encrypted and verified, or not taken.

use std::time::{Duration, Instant};

use dev_credentials::Authority;
use dev_servers::{Postgres, ServerTls};
use event_store::{
    Appender, Bell, Doorbell, Error, LogReader,
    connect::{Purpose, connect},
    migrate,
};

/// What a server at this name shows.
fn shown(authority: &Authority, host: &str) -> ServerTls {
    let pair = authority.server_named(host);
    ServerTls::read(&pair.cert, &pair.key).unwrap()
}

/// What has to stand in a URL to trust an authority and nobody else.
fn trust(authority: &Authority) -> String {
    format!("?sslmode=verify-full&sslrootcert={}", authority.ca_file().display())
}

/// Why there is no connection, in one line.
async fn refusal(url: &str) -> String {
    match connect(url, "t", Purpose::Control).await {
        Ok(_) => "connected".to_owned(),
        Err(error) => error.detail(),
    }
}

#[tokio::test]
async fn postgres_is_talked_to_only_when_it_is_who_it_should_be() {
    let authority = Authority::new();
    let server = Postgres::start_private_with_tls(shown(&authority, "localhost")).await.unwrap();
    let by_address = server.create_database().await.unwrap();
    let by_name = by_address.replacen("127.0.0.1", "localhost", 1);
    let trusted = format!("{by_name}{}", trust(&authority));

    migrate(&trusted, None).await.unwrap();
    let mut connections = Vec::new();
    for purpose in [Purpose::Append, Purpose::Read, Purpose::Migrate, Purpose::Control] {
        connections.push(connect(&trusted, "encrypted", purpose).await.unwrap());
    }
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'encrypted' AND ssl";
    let row = connections[3].client.query_one(encrypted, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 4);
    Appender::connect(&trusted, "t").await.unwrap();
    LogReader::connect(&trusted, "t").await.unwrap();
    let mut doorbell = Doorbell::connect(&trusted, "t").await.unwrap();
    Bell::connect(&trusted, "t").await.unwrap().ring().await.unwrap();
    let (begun, patience) = (Instant::now(), Duration::from_secs(5));
    doorbell.wait_at_most(patience).await.unwrap();
    assert!(begun.elapsed() < patience, "it rang");

    let stranger = Authority::new(); // of the same name
    let refused = refusal(&format!("{by_name}{}", trust(&stranger))).await;
    assert!(refused.contains("BadSignature"), "{refused}");
    let other_name = format!("{by_address}{}", trust(&authority));
    let refused = refusal(&other_name).await;
    assert!(refused.contains("not valid for name"), "{refused}");
    let no_file = format!("{by_name}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    assert!(refusal(&no_file).await.contains("read /nowhere/ca.pem"));
    let refused = connect(&no_file, "t", Purpose::Control).await.err().unwrap();
    assert!(matches!(refused, Error::Settings(_)), "{refused:?}");
}

#[tokio::test]
async fn a_postgres_without_tls_is_not_talked_to_in_plain_text_instead() {
    let authority = Authority::new();
    let server = Postgres::start_private().await.unwrap();
    let url = server.url().replacen("127.0.0.1", "localhost", 1);
    assert_eq!(refusal(&url).await, "connected");
    let refused = refusal(&format!("{url}{}", trust(&authority))).await;
    assert!(refused.contains("does not support TLS"), "{refused}");
}

#[tokio::test]
async fn a_postgres_that_asks_for_a_certificate_is_shown_one() {
    let authority = Authority::new();
    let server = Postgres::start_private_with_tls(shown(&authority, "localhost")).await.unwrap();
    let connection = connect(&server.url(), "t", Purpose::Control).await.unwrap();
    let admin = &connection.client;
    let folder: String = admin.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
    let write = async |name: &str, text: &str| {
        let lines = text.lines().map(|line| format!("('{line}')")).collect::<Vec<_>>().join(",");
        admin.batch_execute(&format!("COPY (VALUES {lines}) TO '{folder}/{name}'")).await.unwrap();
    };
    write("ca.crt", &std::fs::read_to_string(authority.ca_file()).unwrap()).await;
    write(
        "pg_hba.conf",
        "hostnossl all all all trust\nhostssl all all all trust clientcert=verify-ca",
    )
    .await;
    admin.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'ca.crt'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();

    let url = server.url().replacen("127.0.0.1", "localhost", 1) + &trust(&authority);
    let showing = |pair: &dev_credentials::Pair| {
        format!("{url}&sslcert={}&sslkey={}", pair.cert.display(), pair.key.display())
    };
    let begun = Instant::now();
    while !refusal(&url).await.contains("certificate") {
        assert!(begun.elapsed() < Duration::from_secs(10), "without a certificate, one gets in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(refusal(&showing(&authority.client("writer"))).await, "connected");
    let stranger = Authority::new();
    let refused = refusal(&showing(&stranger.client("writer"))).await;
    assert_ne!(refused, "connected");
}

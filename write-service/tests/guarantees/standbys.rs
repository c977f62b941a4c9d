//! What a standby says may be old. Nothing that is decided, or answered, comes from one.

use dev_servers::Postgres;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::Code;

use crate::support::*;

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.split_once('@').unwrap().1.split_once('/').unwrap().0
}

#[tokio::test]
async fn of_several_hosts_only_the_primary_is_worked_with() {
    let primary = Postgres::start_private().await.unwrap();
    let log = Log::create_at(primary.create_database().await.unwrap(), 1).await;
    let standby = primary.start_standby().await.unwrap();
    let standby = standby.url_of(log.url.rsplit_once('/').unwrap().1);
    // Named first, it would be asked first.
    let both = format!("{},{}", host(&standby), host(&log.url));
    let service = Service::start(&log.url.replacen(host(&log.url), &both, 1), &[]).await;
    service.done(open("a")).await;
    service.done(deposit("a", 5)).await;
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'counterfoil-%'";
    assert!(log.admin().await.number(connections).await >= 4);
    assert_eq!(Admin::connect(&standby).await.number(connections).await, 0);
    log.judge().await;
}

/// As a name with two addresses does, one of which is a standby's.
#[tokio::test]
async fn accounts_are_not_loaded_from_a_standby() {
    let primary = Postgres::start_private().await.unwrap();
    let log = Log::create_at(primary.create_database().await.unwrap(), 1).await;
    let standby = primary.start_standby().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one_name = listener.local_addr().unwrap().to_string();
    let (to_primary, to_standby) = (host(&log.url).to_owned(), host(&standby.url()).to_owned());
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (to_primary, to_standby) = (to_primary.clone(), to_standby.clone());
            connections.spawn(async move {
                let mut first = vec![0; 4096];
                let length = client.read(&mut first).await.unwrap_or_default();
                let loads = String::from_utf8_lossy(&first[..length]).contains("counterfoil-load");
                let to = if loads { to_standby } else { to_primary };
                let mut server = TcpStream::connect(to).await.unwrap();
                server.write_all(&first[..length]).await.unwrap();
                let _cut = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let service = Service::start(&log.url.replacen(host(&log.url), &one_name, 1), &[]).await;
    service.until_serving(false).await;
    let refusal = service.refused(open("a")).await;
    let (code, reason) = (refusal.code, refusal.reason.as_str());
    assert_eq!(
        (code, reason, refusal.applied()),
        (Code::Unavailable, "STORAGE_UNAVAILABLE", "false")
    );
    assert_eq!(log.judge().await.events.len(), 0);
}

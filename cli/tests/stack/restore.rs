//! A copy of the log by Postgres's own tools is the log, and is as hard to change.

use std::process::{Command, Stdio};

use dev_servers::TestServers;
use event_store::LogReader;
use ledger::Shard;
use tokio_postgres::NoTls;

use crate::{
    history::History,
    support::{Answer, PROGRAM},
};

fn counterfoil(url: &str, args: &[&str]) -> Answer {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("DATABASE_URL", url).stdin(Stdio::null());
    Answer(command.output().unwrap())
}

/// `pg_dump | psql`
fn copy(from: &str, to: &str) {
    let program = |name: &str| Command::new(TestServers::get().postgres_program(name));
    let mut dump = program("pg_dump");
    let mut dump = dump.args(["--dbname", from]).stdout(Stdio::piped()).spawn().unwrap();
    let mut restore = program("psql");
    restore.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", to]);
    let restored = restore.stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(dump.wait().unwrap().success());
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

#[tokio::test]
async fn a_dump_that_is_restored_verifies_goes_on_and_refuses_changes() {
    let log = History::written().await;
    let restored = TestServers::get().database().await;
    copy(&log.url, &restored);
    let verified = counterfoil(&restored, &["verify", "--log-only"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.out(), verified.err());
    let migrated = counterfoil(&restored, &["migrate"]);
    assert_eq!(migrated.code(), 0, "{}", migrated.err());
    let declared = counterfoil(&restored, &["new-incarnation", "--yes"]);
    assert_eq!(declared.code(), 0, "{}", declared.err());
    let verified = counterfoil(&restored, &["verify", "--log-only"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.out(), verified.err());
    let reader = LogReader::connect(&restored, "t").await.unwrap();
    let (there, identity) =
        (reader.head(Shard::ZERO).await.unwrap(), reader.identity().await.unwrap());
    let original = LogReader::connect(&log.url, "t").await.unwrap();
    assert_eq!(there, original.head(Shard::ZERO).await.unwrap());
    assert_eq!((identity.incarnation, identity.first_log_id), (2, log.identity.first_log_id));

    let (client, connection) = tokio_postgres::connect(&restored, NoTls).await.unwrap();
    let refused = tokio::select! {
        refused = client.batch_execute("DELETE FROM counterfoil.events") => refused.unwrap_err(),
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(refused.code().unwrap().code(), "CF004");
}

//! The database's owner, who can do what no service can.

use std::time::Duration;

use event_store::connect::{Connection, Purpose, connect};
use uuid::Uuid;

use super::until;

/// A superuser's connection.
#[derive(Debug)]
pub(crate) struct Admin {
    connection: Connection,
    url: String,
}

/// A transaction that lets nobody append until it is dropped.
#[derive(Debug)]
pub(crate) struct AppendsHeld {
    _connection: Connection,
}

impl Admin {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = connect(url, "test-admin", Purpose::Migrate).await.unwrap();
        Self { connection, url: url.to_owned() }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.connection.client.batch_execute(sql).await.unwrap();
    }

    /// The first column of every row.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let rows = self.connection.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Changes the log as it refuses to be changed.
    pub(crate) async fn tamper(&self, sql: &str) {
        dev_servers::tamper(&self.url, sql).await;
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.connection.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Request id, shard, position and details of every row that has all of them.
    pub(crate) async fn details(&self) -> Vec<(Uuid, i16, i64, Vec<u8>)> {
        let sql = "SELECT request_id, shard, position, details FROM counterfoil.events
                   WHERE request_id IS NOT NULL AND details IS NOT NULL";
        let rows = self.connection.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
    }

    pub(crate) async fn count_events(&self) -> i64 {
        self.number("SELECT count(*) FROM counterfoil.events").await
    }

    pub(crate) fn database(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }

    /// Ends connections whose name begins so; says how many there were.
    pub(crate) async fn cut(&self, name: &str) -> i64 {
        self.number(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE starts_with(application_name, '{name}') AND datname = current_database()"
        ))
        .await
    }

    /// Lets nobody append from now on.
    pub(crate) async fn hold_appends(&self) -> AppendsHeld {
        let connection = connect(&self.url, "test-holder", Purpose::Migrate).await.unwrap();
        let sql = "BEGIN; LOCK TABLE counterfoil.batches IN EXCLUSIVE MODE";
        connection.client.batch_execute(sql).await.unwrap();
        AppendsHeld { _connection: connection }
    }

    /// Makes commits wait for a standby that there is not. The server must be the test's own.
    pub(crate) async fn miss_standby(&self) {
        self.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
        self.run("SELECT pg_reload_conf()").await;
        // The server comes to it when it comes to it. What waits here waits until the end.
        let commit = "SELECT pg_logical_emit_message(true, '', '')";
        let waits = async || {
            let other = Self::connect(&self.url).await;
            tokio::time::timeout(Duration::from_millis(300), other.run(commit)).await.is_err()
        };
        until("commits wait for the standby", waits).await;
    }

    /// Lets commits end.
    pub(crate) async fn need_no_standby(&self) {
        self.run("ALTER SYSTEM RESET synchronous_standby_names").await;
        self.run("SELECT pg_reload_conf()").await;
    }

    /// Waits until an append is committed, and waits for the standby.
    pub(crate) async fn until_an_append_misses_the_standby(&self) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event = 'SyncRep' AND starts_with(application_name, 'counterfoil-append/')";
        until("the append waits", async || self.number(sql).await == 1).await;
    }

    /// Waits until so many appends wait for [`AppendsHeld`].
    pub(crate) async fn until_appends_wait(&self, appends: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'counterfoil-append/')
                   AND datname = current_database() AND wait_event_type = 'Lock'";
        until("appends wait", async || self.number(sql).await == appends).await;
    }
}

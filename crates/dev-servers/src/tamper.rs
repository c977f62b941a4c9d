//! Changing a log in ways that it refuses, to see that it is noticed.

use std::pin::pin;

use tokio_postgres::NoTls;

/// Runs statements as somebody who has all rights and has put the log's triggers out of the way.
///
/// The database's URL must be a superuser's, as that of [`crate::TestServers::database`] is.
///
/// # Panics
/// When a statement fails: a log that was not changed would prove nothing.
pub async fn tamper(database_url: &str, statements: &str) {
    let statements = format!("SET session_replication_role = replica; {statements}");
    let done = async {
        let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
        let connection = pin!(connection);
        tokio::select! {
            done = client.batch_execute(&statements) => done,
            ended = connection => ended,
        }
    };
    if let Err(error) = done.await {
        panic!("the log was not changed by {statements:?}: {error:?}");
    }
}

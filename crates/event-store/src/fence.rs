//! Making sure that an append whose answer was lost can no longer happen, and other things a login may do that its
//! roles may not.
//!
//! A statement that was sent keeps running, or waits half received, after its client has gone. Only when the server
//! process behind it is gone does "it is not in the log" mean "it never will be".

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use crate::{
    Error,
    connect::{Connection, Purpose, answer_in_time, connect},
    safety,
};

/// Application names of appending connections begin with this.
pub const APPEND_NAME_PREFIX: &str = "counterfoil-append/";

/// The login's own connection.
#[derive(Debug)]
pub struct Control {
    connection: Connection,
}

impl Control {
    /// Connects without taking a role: a role may not end the login's other connections.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(url: &str, application_name: &str) -> Result<Self, Error> {
        Ok(Self { connection: connect(url, application_name, Purpose::Control).await? })
    }

    /// Whether the connection is known to be lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }

    /// Ends every server process with this application name, and waits until none is left. What they have committed is in
    /// the log now; what they have not will never be.
    ///
    /// An append that may be committing is not ended where there are synchronous standbys, but waited for: a commit whose wait for a
    /// standby is cut short can be read, and is gone after a failover.
    ///
    /// # Errors
    /// When the database fails, or one is still there after `patience`.
    pub async fn end_connections(&self, name: &str, patience: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let parameters: [&(dyn ToSql + Sync); 2] = [
                /* $1 name */ &name,
                /* $2 appends */ &name.starts_with(APPEND_NAME_PREFIX),
            ];
            let question = self
                .connection
                .client
                .query(include_str!("../sql/end_connections.sql"), &parameters);
            let left = answer_in_time("end old connections", question).await?;
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > patience {
                let awaits_standby = left.iter().any(|row| row.get(0));
                return Err(Error::Settings(
                    match awaits_standby {
                        true => "an append waits for a synchronous standby, which does not answer",
                        false => "an old connection does not end",
                    }
                    .into(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(2)).await; // a process that ends tells nobody
        }
    }

    /// Ends appends, of any instance, that have held the head for over `age` because the rest of their statement does not
    /// arrive. They have not committed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_stuck_appends(&self, age: Duration) -> Result<u64, Error> {
        let seconds = age.as_secs_f64();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 name */ &APPEND_NAME_PREFIX, /* $2 age */ &seconds];
        let question = self.connection.client.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE starts_with(application_name, $1) AND datname = current_database()
               AND state = 'active' AND wait_event = 'ClientRead'
               AND query_start < clock_timestamp() - make_interval(secs => $2)",
            &parameters,
        );
        let rows = answer_in_time("end stuck appends", question).await?;
        Ok(rows.len() as u64)
    }

    /// Waits at most 50 ms for this instance's turn among writers. A courtesy; nothing relies on it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_turn(&self) -> Result<bool, Error> {
        let client = &self.connection.client;
        let question = client.query_one("SELECT counterfoil.take_turn(0::smallint)", &[]);
        Ok(answer_in_time("wait for a turn", question).await?.get(0))
    }

    /// Ends this instance's turn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_turn(&self) -> Result<(), Error> {
        let question = self.connection.client.batch_execute("SELECT pg_advisory_unlock_all()");
        answer_in_time("end a turn", question).await
    }

    /// Refuses a server that does not keep what it acknowledges.
    ///
    /// # Errors
    /// [`Error::Unsafe`] naming the setting; otherwise when the database fails.
    pub async fn check_safety(&self) -> Result<(), Error> {
        safety::check(&self.connection).await
    }
}

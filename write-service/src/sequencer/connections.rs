//! The sequencer's connections to the log: one to append, one to read beside it, and how they are made after others were lost.

use std::{sync::Arc, time::Duration};

use event_store::{
    Appender, Control, Error, LogIdentity, WriterReads, fence::APPEND_NAME_PREFIX, migrate,
};
use ledger::ShardCount;

/// How long the server may take to end what an earlier connection left.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Where the log is, and who asks.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) database_url: String,
    /// For a log that is not there yet.
    pub(super) shards: Option<ShardCount>,
    /// This instance's own name: by it, what an earlier connection or process of it left is ended.
    pub(super) instance: String,
}

/// Connections that were made together. They are given up together.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) appender: Appender,
    pub(super) reads: Arc<WriterReads>,
    pub(super) control: Control,
    pub(super) identity: LogIdentity,
}

impl Address {
    /// Connects. When this returns, no append of an earlier connection of this instance can happen any more.
    ///
    /// Who has `known` a log never creates one: a database that is suddenly empty is not a new bank.
    pub(super) async fn connect(&self, known: bool) -> Result<Connections, Error> {
        if !known {
            migrate(&self.database_url, self.shards).await?;
        }
        let control =
            Control::connect(&self.database_url, &format!("counterfoil-control/{}", self.instance))
                .await?;
        control.check_safety().await?;
        let name = format!("{APPEND_NAME_PREFIX}{}", self.instance);
        control.end_connections(&name, END_PATIENCE).await?;
        let appender = Appender::connect(&self.database_url, &name).await?;
        // One that waits for a standby in vain would stay, and the next attempt bring another.
        let name = format!("counterfoil-load/{}", self.instance);
        control.end_connections(&name, END_PATIENCE).await?;
        let reads = WriterReads::connect(&self.database_url, &name).await?;
        // The server that was looked at need not be this one: a name may have several addresses.
        if reads.log().is_standby().await? {
            return Err(Error::Standby);
        }
        let identity = reads.log().identity().await?;
        Ok(Connections { appender, reads: Arc::new(reads), control, identity })
    }
}

//! `counterfoil migrate`

use clap::Args;
use ledger::ShardCount;

use crate::output::out;
use crate::{failure::Failure, settings::LogDatabase};

/// Brings the log's tables and roles up to date, and creates the log if there is none.
///
/// The write-service does the same when it starts, if its login may. Run this as the owner of the database where it may not. It
/// can run beside the services, and again.
#[derive(Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    log: LogDatabase,
    /// Number of shards, for a log that is not there yet. It is for life [default: 1, or whatever the log has]
    #[arg(long, env = "COUNTERFOIL_SHARDS")]
    shards: Option<ShardCount>,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let url = self.log.get()?;
        let identity =
            event_store::migrate(url.expose(), self.shards).await.map_err(Failure::other)?;
        let shards = identity.shards.get();
        out!(
            "The log {} is up to date (incarnation {}, shards: {shards}).\n",
            identity.log_id,
            identity.incarnation
        );
        Ok(())
    }
}

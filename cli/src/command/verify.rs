//! `counterfoil verify`

mod chain;
mod checkpoints;
mod findings;
mod peers;
mod read_model;
mod states;

use ::read_model::Reader;
use clap::Args;
use event_store::LogReader;

use crate::output::out;
use crate::{
    failure::{Failure, REFUSED},
    settings::{LogDatabase, ReadModelStore},
};
use findings::Findings;

/// Recomputes the log's chain and every account's state, and compares Redis with them.
///
/// Nothing is changed. It can run beside the services: Redis is compared at the position that it says it has.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    log: LogDatabase,
    #[command(flatten)]
    store: ReadModelStore,
    /// Look at the log only
    #[arg(long)]
    log_only: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let findings = self.findings().await.map_err(|failure| failure.in_json(self.json))?;
        match self.json {
            true => out!("{:#}\n", findings.json()),
            false => out!("{findings}"),
        }
        if findings.is_empty() { Ok(()) } else { Err(Failure::reported(REFUSED)) }
    }

    async fn findings(&self) -> Result<Findings, Failure> {
        let database_url = self.log.get()?;
        let log = LogReader::connect(database_url.expose(), "counterfoil-verify").await;
        let log = log.map_err(Failure::other)?;
        let identity = log.identity().await.map_err(Failure::other)?;
        let mut findings = Findings::default();
        for shard in identity.shards.shards() {
            chain::verify(&log, &identity, shard, &mut findings).await?;
        }
        if !self.log_only {
            let store = self.store.config()?;
            let reader = Reader::connect(&store).await.map_err(Failure::other)?;
            checkpoints::verify(&log, &identity, &reader, &mut findings).await?;
            read_model::verify(&database_url, &store, &identity, &mut findings).await?;
        }
        Ok(findings)
    }
}

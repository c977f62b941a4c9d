//! `counterfoil verify`

mod anchor;
mod chain;
mod checkpoints;
mod findings;
mod peers;
mod read_model;
mod states;
mod strays;
mod structure;
mod unnamed;

use std::{fs, path::PathBuf};

use ::read_model::Reader;
use anyhow::Context as _;
use clap::Args;
use event_store::LogReader;

use crate::output::out;
use crate::{
    anchor::{Anchor, AnchorError, PublicKey},
    failure::{Failure, REFUSED},
    settings::{LogDatabase, ReadModelStore},
};
use findings::Findings;
use unnamed::Unnamed;

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
    /// Prove as well that nothing was rewritten or cut off up to the head in this file, which `counterfoil anchor` has printed
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// The public key that the anchor must be signed with [default: the one that the anchor itself names]
    #[arg(long, value_name = "FILE", requires = "anchor")]
    public_key: Option<PathBuf>,
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
        let anchor = self.anchor()?; // one that cannot be relied on is refused before anything is looked at
        let database_url = self.log.get()?;
        let log = LogReader::connect(database_url.expose(), "counterfoil-verify").await;
        let log = log.map_err(Failure::other)?;
        let identity = log.identity().await.map_err(Failure::other)?;
        let mut findings = Findings::default();
        let (mut ends, mut unnamed) = (Vec::new(), Unnamed::default());
        for shard in identity.shards.shards() {
            let end = chain::verify(&log, &identity, shard, &mut unnamed, &mut findings).await?;
            ends.push((shard, end));
        }
        unnamed.verify(&log, &ends, &mut findings).await?;
        strays::verify(&log, &identity, &mut findings).await?;
        structure::verify(&log, &identity, &ends, &mut findings).await?;
        if let Some((anchor, key)) = &anchor {
            anchor::verify(&log, &identity, anchor, &mut findings).await?;
            let whose = match self.public_key {
                Some(_) => "which was given",
                None => {
                    "which only the anchor itself names: give --public-key to be sure whose it is"
                }
            };
            findings.note(format!("the anchor is signed with key {key}, {whose}"));
        }
        if !self.log_only {
            let store = self.store.config()?;
            let reader = Reader::connect(&store).await.map_err(Failure::other)?;
            checkpoints::verify(&log, &identity, &reader, &mut findings).await?;
            read_model::verify(&database_url, &store, &mut findings).await?;
        }
        Ok(findings)
    }

    /// The anchor, if one is to be compared with, and the key that has signed it.
    fn anchor(&self) -> Result<Option<(Anchor, PublicKey)>, Failure> {
        let Some(path) = &self.anchor else { return Ok(None) };
        let known = self.public_key.as_deref().map(PublicKey::read).transpose();
        let known = known.map_err(Failure::usage_of)?;
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("read {}", path.display()));
        let read = Anchor::read(&text.map_err(Failure::usage_of)?, known.as_ref());
        read.map(Some).map_err(|error| match error {
            AnchorError::Malformed(_) => Failure::usage_of(error),
            AnchorError::OtherKey { .. } | AnchorError::Forged => Failure::refused(error),
        })
    }
}

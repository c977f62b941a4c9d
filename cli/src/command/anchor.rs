//! `counterfoil anchor`

use std::path::PathBuf;

use clap::Args;
use event_store::LogReader;

use crate::output::out;
use crate::{
    anchor::{Anchor, SigningKey},
    failure::Failure,
    settings::LogDatabase,
};

/// Prints a signed head of the log, to be kept where nobody is who could change the log.
///
/// Whoever has all rights on Postgres can rewrite the log and make all hashes anew, or cut its end off. `counterfoil verify --anchor`
/// finds that, for everything up to the head that an anchor kept elsewhere names. The format is in the documentation
/// (docs/OPERATIONS.md, "Anchors").
#[derive(Args)]
pub(crate) struct AnchorCommand {
    /// Sign with the Ed25519 key in this file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "new_key",
        conflicts_with = "new_key"
    )]
    key_file: Option<PathBuf>,
    /// Make a new key in this file, and print its public key instead of an anchor
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
    #[command(flatten)]
    log: LogDatabase,
}

impl AnchorCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let Some(path) = &self.new_key {
            let key = SigningKey::create(path).map_err(Failure::usage_of)?;
            out!("{}", key.public().pem());
            return Ok(());
        }
        let Some(path) = &self.key_file else {
            return Err(Failure::usage("give --key-file or --new-key")); // clap has said so already
        };
        let key = SigningKey::read(path).map_err(Failure::usage_of)?;
        out!("{}", self.take().await?.sign(&key));
        Ok(())
    }

    /// The heads as they are now. Those of several shards may be of different moments: each shard has chains of its own.
    async fn take(&self) -> Result<Anchor, Failure> {
        let url = self.log.get()?;
        let log = LogReader::connect(url.expose(), "counterfoil-anchor").await;
        let log = log.map_err(Failure::other)?;
        let identity = log.identity().await.map_err(Failure::other)?;
        let mut heads = Vec::new();
        for shard in identity.shards.shards() {
            let head = log.head(shard).await.map_err(Failure::other)?;
            let head = head.unwrap_or_else(|| identity.empty_head(shard));
            heads.push((head.link, head.recorded_at));
        }
        Ok(Anchor::new(&identity, &heads))
    }
}

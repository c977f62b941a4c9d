//! `counterfoil rebuild`

use clap::Args;
use read_model::{RebuildRequest, StoreConfig, View, Writer};

use crate::output::out;
use crate::{failure::Failure, settings::ReadModelStore};

/// Has views of the read model built anew from the log, beside those that queries see.
///
/// A projector does the work. Queries are answered from the present generation until the new one has caught up and agrees with
/// it; then they see the new one. `counterfoil status` shows how far it is.
#[derive(Args)]
pub(crate) struct Rebuild {
    /// Only this view: accounts, transactions or totals
    #[arg(long, value_parser = view)]
    view: Option<View>,
    #[command(flatten)]
    store: ReadModelStore,
}

fn view(name: &str) -> Result<View, String> {
    let found = View::ALL.into_iter().find(|view| view.name() == name);
    found.ok_or_else(|| format!("is none of {}", View::ALL.map(View::name).join(", ")))
}

impl Rebuild {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.store.config()?;
        let reader = read_model::Reader::connect(&config).await.map_err(Failure::other)?;
        let log = reader.log().await.map_err(Failure::other)?;
        let log = log.ok_or_else(|| {
            Failure::other(anyhow::anyhow!(
                "no projector has ever written to this Redis: nothing to rebuild"
            ))
        })?;
        let writer = connect(&config).await?;
        for view in View::ALL.into_iter().filter(|view| self.view.is_none_or(|only| only == *view))
        {
            for shard in log.shards.shards() {
                let request = writer.request_rebuild(view, shard).await.map_err(Failure::other)?;
                let name = view.name();
                match request {
                    RebuildRequest::Requested => out!("{name}, shard {shard}: requested\n"),
                    RebuildRequest::AlreadyBuilding(generation) => {
                        out!(
                            "{name}, shard {shard}: generation {} is being built already\n",
                            generation.get()
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

async fn connect(config: &StoreConfig) -> Result<Writer, Failure> {
    Writer::connect(config).await.map_err(Failure::other)
}

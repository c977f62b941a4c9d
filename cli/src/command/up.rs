//! `counterfoil up`

mod addresses;
mod data_dir;
mod services;
mod stores;
mod welcome;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use read_model::DEFAULT_KEY_PREFIX;
use service_kit::config::{DatabaseUrl, RedisUrl};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    failure::Failure,
    settings::{DATA_DIR, READ_ADDR, WRITE_ADDR},
};
use addresses::Addresses;
use data_dir::DataDir;
use services::Services;
use stores::{Given, Stores};

/// Runs everything on this machine: a private Postgres and a private Redis on free ports, and the three services.
///
/// Ctrl-C stops all of it in order; the data stays for the next run. Nothing is restarted silently: when a part ends by itself,
/// the rest is stopped as well.
#[derive(Args)]
pub(crate) struct Up {
    /// Where the data, the logs of the stores and the file `env` are
    #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Keep nothing: use a temporary folder and remove it at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Into how many shards a new log is cut, for life [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: Option<u16>,
    /// Where the write service listens; port 0 takes any free port
    #[arg(long, env = WRITE_ADDR, default_value = "127.0.0.1:50051", value_name = "IP:PORT")]
    write_addr: SocketAddr,
    /// Where the read service listens; port 0 takes any free port
    #[arg(long, env = READ_ADDR, default_value = "127.0.0.1:50052", value_name = "IP:PORT")]
    read_addr: SocketAddr,
    /// A Postgres to use instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<DatabaseUrl>,
    /// A Redis to use instead of a private one
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<RedisUrl>,
    /// First part of every Redis key
    #[arg(long, env = "REDIS_KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX)]
    redis_key_prefix: String,
}

impl Up {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let addresses = Addresses::free(self.write_addr, self.read_addr)?;
        let data_dir = match self.ephemeral {
            true => DataDir::temporary()?,
            false => DataDir::kept(&self.data_dir)?,
        };
        let mut stores = Stores::default();
        let mut services = Services::default();
        let outcome = tokio::select! {
            ended = self.run_until_something_ends(&addresses, &data_dir, &mut stores, &mut services) => {
                ended.map(|never| match never {})
            }
            stopped = told_to_stop() => stopped,
        };
        if let Err(failure) = &outcome {
            failure.report();
        }
        eprintln!("counterfoil: stopping");
        services.stop().await; // first, so that calls in work are answered and what they need is still there
        stores.stop().await;
        data_dir.leave();
        outcome.map_err(|failure| Failure::reported(failure.exit_code()))
    }

    fn given(&self) -> Given {
        Given {
            database: self.database_url.clone(),
            redis: self.redis_url.clone(),
            key_prefix: self.redis_key_prefix.clone(),
        }
    }

    async fn run_until_something_ends(
        &self,
        addresses: &Addresses,
        data_dir: &DataDir,
        stores: &mut Stores,
        services: &mut Services,
    ) -> Result<std::convert::Infallible, Failure> {
        stores.start(data_dir, self.given()).await?;
        data_dir.write_env(&stores.urls()?, addresses)?;
        services.start(addresses, &stores.urls()?, self.shards).await?;
        welcome::print(addresses, data_dir);
        tokio::select! {
            ended = services.one_ended() => Err(ended),
            ended = stores.one_ended() => Err(ended),
        }
    }
}

/// Ctrl-C, `kill`, or the terminal is closed.
async fn told_to_stop() -> Result<(), Failure> {
    let wait = |kind| signal(kind).map_err(Failure::other);
    let (mut interrupt, mut terminate) =
        (wait(SignalKind::interrupt())?, wait(SignalKind::terminate())?);
    let mut hangup = wait(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

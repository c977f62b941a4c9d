//! Settings, each a flag and an environment variable with its unit in the name.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use read_model::{DEFAULT_KEY_PREFIX, StoreConfig};
use service_kit::config::{DatabaseArgs, LogArgs, RedisArgs, RuntimeFlavor, ShutdownArgs, millis};

/// Reads the log in Postgres and keeps the read model in Redis equal to it.
#[derive(Clone, Debug, Parser)]
#[command(name = "projector", version)]
pub struct Config {
    /// The log's Postgres.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The read model's Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// First part of every Redis key; the read service's must be the same.
    #[arg(long, env = "REDIS_KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX)]
    pub redis_key_prefix: String,

    /// Milliseconds that Redis gets to answer, and to be connected to.
    #[arg(id = "redis_timeout", long = "redis-timeout-ms", env = "PROJECTOR_REDIS_TIMEOUT_MS",
        value_parser = some_millis, default_value = "2000")]
    pub redis_timeout: Duration,

    /// Address for `GET /metrics`, `/healthz` and `/readyz`; port 0 takes any free port.
    #[arg(long, env = "PROJECTOR_METRICS_ADDR", default_value = "127.0.0.1:9102")]
    pub metrics_addr: SocketAddr,

    /// Threads of the process: one, one per core, or whichever suits the number of cores.
    #[arg(long, env = "PROJECTOR_RUNTIME", value_enum, default_value = "auto")]
    pub runtime: RuntimeFlavor,

    /// Milliseconds after which the log is read again when no notification came.
    #[arg(id = "poll_interval", long = "poll-interval-ms", env = "PROJECTOR_POLL_INTERVAL_MS",
        value_parser = some_millis, default_value = "100")]
    pub poll_interval: Duration,

    /// Whether to listen for notifications of appends. Without them everything works, up to a poll interval later.
    #[arg(long, env = "PROJECTOR_LISTEN", default_value_t = true, action = clap::ArgAction::Set)]
    pub listen: bool,

    /// Milliseconds between two looks at the end of the log. `max_staleness` of a query cannot be met below this.
    #[arg(id = "head_interval", long = "head-interval-ms", env = "PROJECTOR_HEAD_INTERVAL_MS",
        value_parser = some_millis, default_value = "250")]
    pub head_interval: Duration,

    /// Milliseconds between two looks at what Redis holds of a shard: its checkpoints, and wishes for a rebuild.
    #[arg(id = "refresh_interval", long = "refresh-interval-ms", env = "PROJECTOR_REFRESH_INTERVAL_MS",
        value_parser = some_millis, default_value = "500")]
    pub refresh_interval: Duration,

    /// Milliseconds between two looks at a log that contradicts itself or the read model.
    #[arg(id = "recheck_interval", long = "recheck-interval-ms", env = "PROJECTOR_RECHECK_INTERVAL_MS",
        value_parser = some_millis, default_value = "5000")]
    pub recheck_interval: Duration,

    /// Events per page. Larger pages build faster; Redis answers nobody while it stores one.
    #[arg(long, env = "PROJECTOR_PAGE_EVENTS_MAX", default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub page_events_max: u32,

    /// KiB of changes remembered before they are stored while a generation is built; three times as much is used, because the
    /// next are read meanwhile. More is faster.
    #[arg(long, env = "PROJECTOR_STRIDE_KIB", default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub stride_kib: u32,

    /// Openings of accounts kept in memory per shard, in accounts; up to twice as many are.
    #[arg(long, env = "PROJECTOR_OPENINGS_MAX", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub openings_max: u32,

    /// Statement entries kept per account; 0 keeps all. Takes effect with the next rebuild of the transactions view.
    #[arg(long, env = "PROJECTOR_STATEMENT_ENTRIES_MAX", default_value_t = 0)]
    pub statement_entries_max: u32,

    /// Milliseconds that the generation before is kept up to date after a swap, so that an operator can go back.
    #[arg(id = "retired_grace", long = "retired-grace-ms", env = "PROJECTOR_RETIRED_GRACE_MS",
        value_parser = millis, default_value = "60000")]
    pub retired_grace: Duration,

    /// Accounts per second that are compared with the log, and ten times as many events; 0 compares nothing.
    #[arg(long, env = "PROJECTOR_SWEEP_ACCOUNTS_PER_SECOND", default_value_t = 200)]
    pub sweep_accounts_per_second: u32,

    /// How long stopping may take.
    #[command(flatten)]
    pub shutdown: ShutdownArgs,

    /// How the log is written.
    #[command(flatten)]
    pub log: LogArgs,
}

impl Config {
    /// How to reach Redis.
    pub(crate) fn store(&self) -> StoreConfig {
        let mut store = StoreConfig::new(self.redis.redis_url.expose());
        store.key_prefix.clone_from(&self.redis_key_prefix);
        store.response_timeout = self.redis_timeout;
        store.connect_timeout = self.redis_timeout;
        store
    }

    pub(crate) fn stride_bytes(&self) -> usize {
        usize::try_from(self.stride_kib).unwrap_or(usize::MAX).saturating_mul(1024)
    }

    pub(crate) fn page_events(&self) -> usize {
        usize::try_from(self.page_events_max).unwrap_or(usize::MAX)
    }
}

/// Milliseconds, but not none: an interval of zero would spin.
fn some_millis(text: &str) -> Result<Duration, String> {
    let time = millis(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("must be at least 1".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        let always = [
            "projector",
            "--database-url=postgres://u:secret@db/x",
            "--redis-url=redis://:secret@cache:6379",
        ];
        Config::try_parse_from(always.iter().chain(arguments))
    }

    #[test]
    fn every_setting_can_also_come_from_the_environment_and_is_explained() {
        for argument in Config::command().get_arguments() {
            let name = argument.get_id().as_str();
            if !["help", "version"].contains(&name) {
                assert!(argument.get_env().is_some(), "{name} has no variable");
                assert!(argument.get_help().is_some(), "{name} has no help");
            }
        }
    }

    #[test]
    fn intervals_of_nothing_are_refused() {
        assert!(parse(&[]).is_ok());
        for flag in ["--poll-interval-ms", "--head-interval-ms", "--page-events-max"] {
            assert!(parse(&[flag, "0"]).is_err(), "{flag}");
        }
        assert!(!parse(&["--listen", "false"]).unwrap().listen);
    }

    #[test]
    fn passwords_are_not_printed() {
        let printed = format!("{:?}", parse(&[]).unwrap());
        assert!(printed.contains("cache:6379") && !printed.contains("secret"), "{printed}");
    }
}

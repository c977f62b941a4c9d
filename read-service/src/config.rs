//! Settings, each a flag and an environment variable with its unit in the name.

use std::net::SocketAddr;
use std::time::Duration;

use access::AccessArgs;
use clap::Parser;
use read_model::{DEFAULT_KEY_PREFIX, StoreConfig};
use service_kit::config::{LogArgs, RedisArgs, RuntimeFlavor, ShutdownArgs, millis};
use service_kit::tls::TlsArgs;

/// Answers queries about accounts from the read model in Redis.
#[derive(Clone, Debug, Parser)]
#[command(name = "read-service", version)]
pub struct Config {
    /// Address on which gRPC is served.
    #[arg(long, env = "READ_SERVICE_LISTEN_ADDR", default_value = "127.0.0.1:50052")]
    pub listen_addr: SocketAddr,

    /// Address for `GET /metrics`, `/healthz` and `/readyz`; port 0 takes any free port.
    #[arg(long, env = "READ_SERVICE_METRICS_ADDR", default_value = "127.0.0.1:9103")]
    pub metrics_addr: SocketAddr,

    /// Threads of the process: one, one per core, or whichever suits the number of cores.
    #[arg(long, env = "READ_SERVICE_RUNTIME", value_enum, default_value = "auto")]
    pub runtime: RuntimeFlavor,

    /// How callers connect.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Which callers may do what.
    #[command(flatten)]
    pub access: AccessArgs,

    /// The read model's Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// First part of every Redis key; the projector's must be the same.
    #[arg(long, env = "REDIS_KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX)]
    pub redis_key_prefix: String,

    /// Milliseconds that Redis gets to answer, and to be connected to, before calls are answered
    /// with `READ_STORE_UNAVAILABLE`.
    #[arg(
        id = "redis_timeout",
        long = "redis-timeout-ms",
        env = "READ_SERVICE_REDIS_TIMEOUT_MS",
        value_name = "MS",
        value_parser = some_millis,
        default_value = "1000"
    )]
    pub redis_timeout: Duration,

    /// Milliseconds that a call waits at most for the read model to reach its token, if its own
    /// deadline is later or absent.
    #[arg(
        id = "wait_max",
        long = "wait-max-ms",
        env = "READ_SERVICE_WAIT_MAX_MS",
        value_name = "MS",
        value_parser = bounded_millis,
        default_value = "5000"
    )]
    pub wait_max: Duration,

    /// Milliseconds between two looks of a waiting call when no publication wakes it.
    #[arg(
        id = "wait_recheck",
        long = "wait-recheck-ms",
        env = "READ_SERVICE_WAIT_RECHECK_MS",
        value_name = "MS",
        value_parser = some_millis,
        default_value = "100"
    )]
    pub wait_recheck: Duration,

    /// Calls that may wait for their token at once; more are answered with `OVERLOADED`.
    #[arg(long, env = "READ_SERVICE_WAITERS_MAX", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub waiters_max: u32,

    /// Calls that may be in work at once, waiting ones included; more are answered with `OVERLOADED`.
    #[arg(long, env = "READ_SERVICE_QUERIES_MAX", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queries_max: u32,

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

    /// How long one read may take altogether: connecting, asking, and asking once more when a generation has changed. The
    /// store's own time-outs come first, and make it drop a connection that is dead.
    pub(crate) fn read_limit(&self) -> Duration {
        self.redis_timeout.saturating_mul(3)
    }

    /// How long running calls may go on after shutdown began: less than the whole process has.
    pub(crate) fn grace(&self) -> Duration {
        self.shutdown.shutdown_deadline.mul_f64(0.8)
    }
}

/// No call and no Redis is worth a longer wait; and a clock cannot be read beyond its end.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Milliseconds, a day at most.
fn bounded_millis(text: &str) -> Result<Duration, String> {
    let time = millis(text).map_err(|error| error.to_string())?;
    if time > TIME_MAX { Err("must be at most 86400000, a day".to_owned()) } else { Ok(time) }
}

/// Milliseconds, but not none: a limit of zero would refuse or spin.
fn some_millis(text: &str) -> Result<Duration, String> {
    let time = bounded_millis(text)?;
    if time.is_zero() { Err("must be at least 1".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        let always = ["read-service", "--redis-url", "redis://:secret@cache:6379"];
        Config::try_parse_from(always.iter().chain(args))
    }

    #[test]
    fn every_setting_of_this_service_can_also_come_from_the_environment() {
        for argument in Config::command().get_arguments() {
            let name = argument.get_id().as_str();
            if !["help", "version"].contains(&name) {
                assert!(argument.get_env().is_some(), "{name} has no variable");
                assert!(argument.get_help().is_some(), "{name} has no help");
            }
        }
    }

    #[test]
    fn limits_of_nothing_or_of_for_ever_are_refused() {
        assert!(parse(&[]).is_ok());
        for (flag, value) in [
            ("--redis-timeout-ms", "0"),
            ("--wait-recheck-ms", "0"),
            ("--waiters-max", "0"),
            ("--queries-max", "0"),
            ("--wait-max-ms", "-1"),
            ("--wait-max-ms", "18446744073709551615"),
        ] {
            assert!(parse(&[flag, value]).is_err(), "{flag} {value}");
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let printed = format!("{:?}", parse(&[]).unwrap());
        assert!(printed.contains("cache:6379") && !printed.contains("secret"), "{printed}");
    }
}

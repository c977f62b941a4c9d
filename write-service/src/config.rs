//! Settings, each a flag and an environment variable with its unit in the name.

use std::{net::SocketAddr, time::Duration};

use access::AccessArgs;
use clap::Parser;
use ledger::ShardCount;
use service_kit::{
    config::{DatabaseArgs, LogArgs, RuntimeFlavor, ShutdownArgs, millis},
    tls::TlsArgs,
};

/// So long may an instance's name be: with what is put before it, Postgres keeps the names of connections whole.
const INSTANCE_LETTERS_MAX: usize = 32;

/// Takes commands over gRPC and appends them to the log in Postgres.
#[derive(Clone, Debug, Parser)]
#[command(name = "write-service", version)]
pub struct Config {
    /// Address on which gRPC is served.
    #[arg(long, env = "WRITE_SERVICE_LISTEN_ADDR", default_value = "127.0.0.1:50051")]
    pub listen_addr: SocketAddr,

    /// Address for `GET /metrics`, `/healthz` and `/readyz`; port 0 takes any free port.
    #[arg(long, env = "WRITE_SERVICE_METRICS_ADDR", default_value = "127.0.0.1:9101")]
    pub metrics_addr: SocketAddr,

    /// Threads of the process: one, one per core, or whichever suits the number of cores.
    #[arg(long, env = "WRITE_SERVICE_RUNTIME", value_enum, default_value = "auto")]
    pub runtime: RuntimeFlavor,

    /// How callers connect.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Which callers may do what.
    #[command(flatten)]
    pub access: AccessArgs,

    /// The log's Postgres.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Number of shards, for a log that is not there yet. It is for life; unset means 1, or whatever the log has.
    #[arg(long, env = "COUNTERFOIL_SHARDS")]
    pub shards: Option<ShardCount>,

    /// This instance's own name. By it, connections that an earlier process of it left are ended, so no two instances may
    /// share it. Up to 32 letters, digits and signs, no spaces. Unset means host name and port.
    #[arg(long, env = "WRITE_SERVICE_INSTANCE", value_parser = instance)]
    pub instance: Option<String>,

    /// Commands that may wait to be decided; more are answered with OVERLOADED, and while hardly any more may, a caller with
    /// more than its share of them with RATE_LIMITED.
    #[arg(long, env = "WRITE_SERVICE_QUEUE_COMMANDS_MAX", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queue_commands_max: u32,

    /// Commands that go to the log in one append.
    #[arg(long, env = "WRITE_SERVICE_BATCH_COMMANDS_MAX", default_value_t = 128,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch_commands_max: u32,

    /// Appends that may be under way at once.
    #[arg(long, env = "WRITE_SERVICE_BATCHES_UNDER_WAY_MAX", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=16))]
    pub batches_under_way_max: u32,

    /// Accounts kept in memory, about 300 bytes each. At least as many are as what is under way can touch: 68,480 by default.
    #[arg(long, env = "WRITE_SERVICE_ACCOUNTS_MAX", default_value_t = 1_000_000)]
    pub accounts_max: u32,

    /// Largest amount of one command, in minor units.
    #[arg(long, env = "WRITE_SERVICE_AMOUNT_MAX_MINOR_UNITS", default_value_t = 1_000_000_000_000_000_000,
        value_parser = clap::value_parser!(i64).range(1..))]
    pub amount_max_minor_units: i64,

    /// Milliseconds that a command whose answer was lost is held back to learn its outcome, before its caller gets
    /// OUTCOME_UNKNOWN.
    #[arg(id = "resolve_within", long = "resolve-within-ms", env = "WRITE_SERVICE_RESOLVE_WITHIN_MS",
        value_parser = millis, default_value = "5000")]
    pub resolve_within: Duration,

    /// How long stopping may take.
    #[command(flatten)]
    pub shutdown: ShutdownArgs,

    /// How the log is written.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Reads an instance's name. One that Postgres would change is refused: what is left of it could be the name of another instance,
/// and each would end the other's connections.
fn instance(name: &str) -> Result<String, String> {
    let is_plain = name.bytes().all(|letter| letter.is_ascii_graphic());
    if is_plain && (1..=INSTANCE_LETTERS_MAX).contains(&name.len()) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "an instance's name has 1 to {INSTANCE_LETTERS_MAX} letters, digits and signs of ASCII and no spaces; of another one \
         only a part would be kept, and two instances could share that"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_an_instance_that_would_be_cut_is_refused() {
        let parse = |name: &str| {
            let url = "postgres://localhost/x";
            Config::try_parse_from(["write-service", "--database-url", url, "--instance", name])
        };
        for name in ["a", "writer-1:50051", &"x".repeat(INSTANCE_LETTERS_MAX)] {
            assert_eq!(parse(name).unwrap().instance.as_deref(), Some(name));
        }
        let long = format!("{}1", "x".repeat(INSTANCE_LETTERS_MAX));
        for name in [long.as_str(), "", "a b", "zürich"] {
            let refused = parse(name).unwrap_err().to_string();
            assert!(refused.contains("1 to 32 letters"), "{name}: {refused}");
        }
    }
}

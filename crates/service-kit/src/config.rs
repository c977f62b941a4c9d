//! Settings that several services share, each a flag and an environment variable.
//!
//! The names without a prefix are those that every service reads alike; a service's own settings
//! live in its own crate, under its own prefix.

mod url;

use std::num::ParseIntError;
use std::time::Duration;
use std::{io, thread};

use clap::{Args, ValueEnum};
use tokio::runtime::{Builder, Runtime};

pub use url::{DatabaseUrl, RedisUrl};

/// With this many cores or fewer, one thread serves more calls than several that wake each other.
const SINGLE_THREAD_CORES_MAX: usize = 2;

/// How a process writes its log.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Form of a log line on standard error.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,projector=debug`.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One flat JSON object per line, for machines.
    Json,
}

/// The log's Postgres.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Postgres that keeps the log, e.g. `postgres://user@127.0.0.1:5432/counterfoil`; another machine's needs
    /// `?sslmode=verify-full&sslrootcert=FILE`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,
}

/// The read model's Redis.
#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// Redis that keeps the read model, e.g. `redis://127.0.0.1:6379/0`; another machine's needs `rediss://` and
    /// `?sslmode=verify-full&sslrootcert=FILE`.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: RedisUrl,
}

/// How long a process takes to stop.
#[derive(Args, Clone, Debug)]
pub struct ShutdownArgs {
    /// Milliseconds from the first SIGTERM until what still runs is given up.
    #[arg(
        id = "shutdown_deadline",
        long = "shutdown-deadline-ms",
        env = "SHUTDOWN_DEADLINE_MS",
        value_parser = millis,
        default_value = "10000"
    )]
    pub shutdown_deadline: Duration,
}

/// Threads of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeFlavor {
    /// One thread on one or two cores, otherwise one per core.
    Auto,
    /// One thread for everything.
    CurrentThread,
    /// One thread per core.
    MultiThread,
}

impl RuntimeFlavor {
    /// Builds the runtime, with timers and sockets.
    ///
    /// # Errors
    /// The system gave no thread or no poller.
    pub fn build(self) -> io::Result<Runtime> {
        let single = match self {
            Self::CurrentThread => true,
            Self::MultiThread => false,
            Self::Auto => {
                thread::available_parallelism().is_ok_and(|n| n.get() <= SINGLE_THREAD_CORES_MAX)
            }
        };
        let mut builder =
            if single { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        builder.enable_all().build()
    }

    /// Runs one future to its end, for `main`. What else still runs is then given up, so that a
    /// blocked thread cannot keep the process alive.
    ///
    /// # Errors
    /// As [`RuntimeFlavor::build`].
    pub fn block_on<F: Future>(self, future: F) -> io::Result<F::Output> {
        let runtime = self.build()?;
        let outcome = runtime.block_on(future);
        runtime.shutdown_background();
        Ok(outcome)
    }
}

/// Reads a number of milliseconds: the `value_parser` of every setting named `…_MS`.
///
/// # Errors
/// The text is not a whole number.
pub fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// Reads an environment variable; unset, empty and not UTF-8 are all `None`.
///
/// Settings belong into clap arguments. This is for what is no setting of a service, such as the
/// servers that tests are told to use.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser, Debug)]
    struct Everything {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        redis: RedisArgs,
        #[command(flatten)]
        shutdown: ShutdownArgs,
    }

    const URLS: [&str; 5] = [
        "service",
        "--database-url",
        "postgres://cf:hunter2@db:5432/ledger",
        "--redis-url",
        "redis://:hunter2@cache:6379/0",
    ];

    #[test]
    fn every_group_has_defaults_and_they_flatten_into_one_command() {
        Everything::command().debug_assert();
        let args = Everything::try_parse_from(URLS).unwrap();
        assert_eq!(args.log.log_format, LogFormat::Text);
        assert_eq!(args.log.log_filter, "info");
        assert_eq!(args.shutdown.shutdown_deadline, Duration::from_secs(10));
    }

    #[test]
    fn parsed_settings_never_print_credentials() {
        let args = Everything::try_parse_from(URLS).unwrap();
        let printed = format!("{args:?} {args:#?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("db:5432/ledger"), "{printed}");
    }

    #[test]
    fn a_url_that_makes_no_sense_is_not_echoed_by_the_argument_parser() {
        let broken =
            ["service", "--database-url", "postgres://cf:hunter2", "--redis-url", "hunter2"];
        let args = Everything::try_parse_from(broken).unwrap();
        assert!(!format!("{args:?}").contains("hunter2"));
    }

    #[test]
    fn urls_from_the_environment_stay_out_of_the_help_text() {
        let command = Everything::command();
        for name in ["database_url", "redis_url"] {
            let arg = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
            assert!(arg.is_hide_env_values_set(), "{name}");
        }
    }

    #[test]
    fn both_runtime_flavors_run_a_future_with_timers() {
        for flavor in
            [RuntimeFlavor::Auto, RuntimeFlavor::CurrentThread, RuntimeFlavor::MultiThread]
        {
            let outcome = flavor.block_on(async {
                tokio::time::timeout(Duration::from_secs(5), async { 7 }).await
            });
            assert_eq!(outcome.unwrap().unwrap(), 7);
        }
    }
}

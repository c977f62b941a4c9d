//! What can go wrong when a private server is started or stopped.

use std::{io, path::PathBuf, time::Duration};

/// Why a private server could not be started, stopped or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on this machine.
    #[error("{program} was not found; install it ({hint}) or say where one runs with {setting}")]
    NotInstalled {
        /// What was looked for.
        program: String,
        /// How it is installed.
        hint: &'static str,
        /// The setting that makes a private one unnecessary.
        setting: &'static str,
    },
    /// Something in the file system or with a process.
    #[error("{attempt}")]
    Io {
        /// What was being done.
        attempt: String,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// A program that should have done its work and ended well did not.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("{program} did not start; the end of {}:\n{tail}", log.display())]
    NotStarted {
        /// Which one.
        program: &'static str,
        /// Its log file.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// Nothing happened for too long.
    #[error("{program} was not {state} within {} s; see {}", waited.as_secs(), log.display())]
    TimedOut {
        /// Which one.
        program: &'static str,
        /// What was waited for.
        state: &'static str,
        /// For how long.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
    },
    /// The server refused a statement.
    #[error("ask the private Postgres to {attempt}")]
    Postgres {
        /// What was being done.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        cause: tokio_postgres::Error,
    },
}

/// For `map_err`: names the attempt.
pub(crate) fn io_error(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let attempt = attempt.into();
    move |cause| Error::Io { attempt, cause }
}

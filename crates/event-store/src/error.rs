//! What can go wrong with the log.

use ledger::{Position, Shard};

/// A failure of the log or of the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be reached, or the connection was lost.
    #[error("{doing}: the database cannot be reached")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        cause: tokio_postgres::Error,
    },
    /// Nothing came back in time, though the connection seems to be there.
    #[error("{0}: the database does not answer")]
    Silent(&'static str),
    /// The database answered with an error.
    #[error("{doing}: the database refused")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        cause: tokio_postgres::Error,
    },
    /// The database does not keep what it acknowledges.
    #[error("the database is not safe for a ledger: {0}")]
    Unsafe(String),
    /// The server can be read but not written to.
    #[error("the server can only be read: it is a standby, or set to read only")]
    Standby,
    /// The log contradicts itself. Nobody may go on.
    #[error("shard {shard}, position {position}: {finding}")]
    Corrupt {
        /// Where.
        shard: Shard,
        /// Where in the shard.
        position: Position,
        /// What is wrong.
        finding: String,
    },
    /// What is there is of a later version of this program, or somebody edited it to look so. Nobody may go on.
    #[error("shard {shard}, position {position}: {finding}; is it of a later version?")]
    NotUnderstood {
        /// Where.
        shard: Shard,
        /// Where in the shard.
        position: Position,
        /// What is not understood.
        finding: String,
    },
    /// The settings do not fit the log that is there.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    /// Sorts a driver's error: an answer of the server, or no answer.
    #[must_use]
    pub fn of(doing: &'static str, cause: tokio_postgres::Error) -> Self {
        // Class 57: the server goes down or cuts us off; what it last did is then as unknown as after a cut cable.
        match cause.code() {
            Some(code) if !code.code().starts_with("57P") && !code.code().starts_with("08") => {
                Self::Refused { doing, cause }
            }
            _ => Self::Unavailable { doing, cause },
        }
    }

    /// The error and what the database or the connection said about it, in one line.
    #[must_use]
    pub fn detail(&self) -> String {
        let (Self::Unavailable { cause, .. } | Self::Refused { cause, .. }) = self else {
            return self.to_string();
        };
        if let Some(said) = cause.as_db_error() {
            return format!("{self}: {}", said.message());
        }
        let mut detail = format!("{self}: {cause}");
        let mut deeper = std::error::Error::source(cause);
        while let Some(cause) = deeper {
            detail.push_str(&format!(": {cause}"));
            deeper = cause.source();
        }
        detail
    }

    pub(crate) fn corrupt(shard: Shard, position: Position, finding: impl Into<String>) -> Self {
        Self::Corrupt { shard, position, finding: finding.into() }
    }
}

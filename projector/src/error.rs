//! What can go wrong while projecting, told apart by what is done next.

use ledger::{LogId, Position, Shard};
use read_model::{Generation, View};

use crate::projection::ImpossibleEvent;

/// Why the projector did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address for metrics cannot be bound.
    #[error("serve metrics")]
    Metrics(#[from] std::io::Error),
    /// Settings that cannot work, or a Redis that throws keys away.
    #[error("open the read model")]
    ReadModel(#[from] read_model::Error),
    /// A part of the projector ended by itself, which none ever should.
    #[error("a part of the projector ended: {0}")]
    PartEnded(String),
}

/// Why a shard is not projected on, for now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Postgres or Redis cannot be reached. Tried again soon.
    #[error("read the log")]
    Log(#[source] event_store::Error),
    /// As above.
    #[error("use the read model")]
    ReadModel(#[source] read_model::Error),
    /// Another projector was faster, or Redis went back. Everything is read anew.
    #[error("Redis has moved on")]
    Conflict,
    /// The log contradicts itself or the checkpoint. Never skipped; looked at again slowly, because an operator may
    /// declare a restored log to be a new incarnation.
    #[error("LEDGER_CORRUPT: shard {shard}, position {position}: {finding}")]
    Corrupt { shard: Shard, position: Position, finding: String },
    /// An event or batch of a later version. Never skipped.
    #[error("LEDGER_CORRUPT or a later version: {0}")]
    NotUnderstood(String),
    /// The Redis belongs to another log.
    #[error("this Redis belongs to log {owner}, whose projector is alive")]
    OtherLog { owner: LogId },
    /// A generation holds what cannot be continued. A new one is built.
    #[error("generation {generation} of view {view} cannot be continued")]
    Unusable {
        view: View,
        generation: Generation,
        #[source]
        source: read_model::Error,
    },
}

impl Stop {
    /// Whether nothing gets better by itself: a person has to look.
    pub(crate) fn is_loud(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::NotUnderstood(_) | Self::OtherLog { .. } => true,
            Self::Log(_) | Self::ReadModel(_) | Self::Conflict | Self::Unusable { .. } => false,
        }
    }

    pub(crate) fn impossible(shard: Shard, event: &ImpossibleEvent) -> Self {
        Self::Corrupt { shard, position: event.position, finding: event.finding.to_owned() }
    }
}

impl From<event_store::Error> for Stop {
    fn from(error: event_store::Error) -> Self {
        match error {
            event_store::Error::Corrupt { shard, position, finding } => {
                Self::Corrupt { shard, position, finding }
            }
            error @ event_store::Error::NotUnderstood { .. } => {
                Self::NotUnderstood(error.to_string())
            }
            error @ (event_store::Error::Settings(_)
            | event_store::Error::Unavailable { .. }
            | event_store::Error::Refused { .. }
            | event_store::Error::Silent(_)
            | event_store::Error::Standby
            | event_store::Error::Unsafe(_)) => Self::Log(error),
        }
    }
}

impl From<read_model::Error> for Stop {
    fn from(error: read_model::Error) -> Self {
        match error {
            read_model::Error::Conflict { .. } => Self::Conflict,
            read_model::Error::OtherLog { owner } => Self::OtherLog { owner },
            error => Self::ReadModel(error),
        }
    }
}

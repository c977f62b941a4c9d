//! What a command is answered with.

use std::{sync::Arc, time::Duration};

use access::Reach;
use event_store::{RecordedEvent, writer::StoredSide};
use ledger::{AccountState, Event, LogId, Opening, Position, Rejection, Shard, Timestamp};

/// The answer to work: one for each of its commands.
pub type Answer = Result<Vec<Applied>, CommandError>;

/// A command that is in the log, with the account or accounts after it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The log it is in.
    pub log_id: LogId,
    /// True when it had been decided before.
    pub replayed: bool,
    /// At the command's account; of a transfer, the source.
    pub first: Side,
    /// At the destination of a transfer.
    pub second: Option<Side>,
}

/// What a command did to one account.
#[derive(Debug, Clone)]
pub struct Side {
    /// The account's shard.
    pub shard: Shard,
    /// Place of the event.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What never changes about the account.
    pub opening: Arc<Opening>,
    /// When the account's opening was recorded.
    pub opened_at: Timestamp,
    /// How the account stands after the event.
    pub state: AccountState,
    /// The event.
    pub event: Event,
    /// Whether the account is the caller's business: what it is told of it is then more than its place.
    pub is_shown: bool,
}

/// Why a command was not answered with [`Applied`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The rules refuse it.
    #[error("{rejection}")]
    Rejected {
        /// Why.
        rejection: Rejection,
        /// True when it had been refused before.
        replayed: bool,
    },
    /// One command of an atomic batch is refused by the rules, and with it all others.
    #[error("command {index} of the batch: {rejection}")]
    BatchRefused {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// The caller has no right to an account, or there is none.
    #[error("there is no such thing that this caller has a right to")]
    AccessDenied,
    /// The id belongs to another command.
    #[error("this request_id belongs to another command")]
    RequestIdReused,
    /// Too many commands are waiting.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// The service is about to end.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The caller's deadline passed before the command was begun.
    #[error("the deadline passed before the command was begun")]
    DeadlineBeforeStart,
    /// The caller's deadline passed after the command was sent to the log.
    #[error("the deadline passed while the command was under way")]
    DeadlinePassed,
    /// The connection to the log was lost while the command was under way.
    #[error("the outcome is unknown: send the same request again to learn it")]
    OutcomeUnknown,
    /// The log cannot be reached.
    #[error("the log cannot be reached")]
    LedgerUnavailable,
    /// The log cannot store anything now.
    #[error("the log cannot store anything now: {0}")]
    StorageUnavailable(String),
    /// The database does not keep what it acknowledges.
    #[error("{0}")]
    LedgerUnsafe(String),
    /// The log contradicts itself; writing has stopped.
    #[error("the log contradicts itself, and writing has stopped: {0}")]
    LedgerCorrupt(String),
}

const OVERLOADED: &str = "too many commands are waiting";
const OVER_SHARE: &str = "this caller has more commands waiting than its share";

/// There is no place for a command to wait in.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", if *.is_own_fault { OVER_SHARE } else { OVERLOADED })]
pub struct NoPlace {
    /// Whether others would have got one.
    pub is_own_fault: bool,
    /// When to ask again.
    pub retry_after: Duration,
}

impl Applied {
    /// The same for a caller with this reach: a payer sees nothing of a payee who is none of its business.
    pub(crate) fn seen_with(mut self, reach: &Reach) -> Self {
        if let Some(second) = &mut self.second {
            second.is_shown = reach.includes(&second.opening);
        }
        self
    }

    /// The answer to a command that was found in the log: the outcome it had, as its first caller got it or should have.
    ///
    /// # Errors
    /// The stored refusal.
    pub(crate) fn from_stored(
        log_id: LogId,
        first: StoredSide,
        second: Option<StoredSide>,
        replayed: bool,
    ) -> Result<Self, CommandError> {
        if let Event::CommandRejected(rejected) = first.event.event {
            return Err(CommandError::Rejected { rejection: rejected.rejection, replayed });
        }
        let side = |side: StoredSide| {
            let RecordedEvent { shard, position, recorded_at, event, state, .. } = side.event;
            let event_store::OpenedAccount { opening, opened_at } = side.account;
            Side { shard, position, recorded_at, opening, opened_at, state, event, is_shown: true }
        };
        Ok(Self { log_id, replayed, first: side(first), second: second.map(side) })
    }
}

//! Why a query was not answered. What a client gets for it is in [`crate::grpc::status`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ledger::{AccountId, LogId, Position, Shard, StreamVersion, TransactionId};
use read_model::View;

/// Why a query was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// The request cannot be understood; all that is wrong with it.
    #[error("{0}")]
    Invalid(Violations),
    /// The caller has no right to it, or there is none.
    #[error("there is no such thing that this caller has a right to")]
    AccessDenied,
    /// No such account in the prefix of the log that `as_of` names.
    #[error("account {account_id} does not exist")]
    AccountNotFound { account_id: AccountId, as_of: String },
    /// No such transaction in the prefix of the log that `as_of` names.
    #[error("transaction {transaction_id} does not exist")]
    TransactionNotFound { transaction_id: TransactionId, as_of: String },
    /// The statement is asked for further back than entries are kept.
    #[error("account {account_id} has no entries kept below number {}", oldest.get())]
    HistoryNotKept { account_id: AccountId, oldest: StreamVersion },
    /// The token is of another log than the one that is read.
    #[error("the token is of another log than {current}")]
    LogChanged { current: LogId },
    /// What must be included is not yet.
    #[error("the read model has come to {as_of} only")]
    Lagging { as_of: String },
    /// The read model had all of the log longer ago than allowed; `None` if nobody knows when.
    #[error("the read model is known to have had all of the log {}", Ago(*staleness))]
    Stale { as_of: String, staleness: Option<Duration> },
    /// The view is being built.
    #[error("{0}")]
    Rebuilding(Progress),
    /// What Redis holds contradicts itself. The projector's sweep will repair it; until then nothing is said.
    #[error("the read model contradicts itself and is being repaired")]
    Inconsistent(#[source] Arc<read_model::Error>),
    /// Redis gives no answer.
    #[error("the read model's Redis is not available")]
    StoreUnavailable(#[source] StoreFault),
    /// A limit of this server is reached.
    #[error("too many {0}")]
    Overloaded(&'static str),
    /// This server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why Redis gave no answer. Many calls may share one, because they shared one round trip.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreFault {
    /// It had so long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It, or the way to it, failed.
    #[error(transparent)]
    Failed(Arc<read_model::Error>),
    /// It may throw keys away, so "there is no such key" proves nothing.
    #[error("maxmemory-policy is {0}, and must be noeviction")]
    Evicting(Arc<str>),
    /// Shards, read one after the other, were found to be of different logs: a new one is taking over.
    #[error("the shards are of different logs")]
    SeveralLogs,
    /// The task that reads has ended, and the process is about to.
    #[error("reading has ended")]
    Stopped,
}

impl StoreFault {
    /// Whether others, who asked for something else in the same round trip, may still get an answer.
    pub(crate) fn is_about_one_value(&self) -> bool {
        match self {
            Self::Failed(error) => matches!(**error, read_model::Error::Inconsistent { .. }),
            Self::TimedOut(_) | Self::Evicting(_) | Self::SeveralLogs | Self::Stopped => false,
        }
    }
}

/// How far a view that cannot be read yet has been built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The view.
    pub(crate) view: View,
    /// The shard, unless nothing at all is there.
    pub(crate) shard: Option<Shard>,
    /// The last position that the generation being built includes.
    pub(crate) building: Option<Position>,
    /// The head of the log when a projector last looked.
    pub(crate) head: Option<Position>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} view", self.view)?;
        if let Some(shard) = self.shard {
            write!(f, " of shard {shard}")?;
        }
        write!(f, " is not built yet")?;
        match (self.building, self.head) {
            (Some(building), Some(head)) => write!(f, ": position {building} of {head}"),
            (Some(building), None) => write!(f, ": position {building}"),
            (None, _) => Ok(()),
        }
    }
}

/// An error with its causes, for one line of the log. Some errors show their cause themselves; it is not said twice.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// What is wrong with a field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidReason {
    FieldRequired,
    AccountIdMalformed,
    OwnerIdMalformed,
    TransactionIdMalformed,
    BatchTooLarge,
    PageSizeInvalid,
    PageTokenInvalid,
    TokenMalformed,
    ConsistencyInvalid,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) reason: InvalidReason,
    pub(crate) description: String,
}

/// Everything that is wrong with a request, in the order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

impl Violations {
    /// Adds a field that is wrong.
    pub(crate) fn add(
        &mut self,
        field: impl Into<String>,
        reason: InvalidReason,
        description: impl fmt::Display,
    ) {
        let description = description.to_string();
        self.0.push(Violation { field: field.into(), reason, description });
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return f.write_str("the request is invalid") };
        write!(f, "{} {}", first.field, first.description)?;
        match self.0.len() {
            1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

impl From<Violations> for QueryError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

/// A duration in the past, which may be unknown.
struct Ago(Option<Duration>);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{} ms ago", time.as_millis()),
            None => f.write_str("at no known time"),
        }
    }
}

//! A row of the log, as plain values.

use uuid::Uuid;

use super::{Command, Doing, Status, Sum};

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) shard: i16,
    pub(crate) position: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.shard, self.position)
    }
}

/// What a row says of the account after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) limit: i64,
    pub(crate) status: Status,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    /// The account's name, as its opening said it.
    pub(crate) account: String,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) fact: Fact,
    pub(crate) stated: Stated,
    /// When it was recorded, in microseconds.
    pub(crate) recorded_at: i64,
    /// Of a transfer, the other side's row.
    pub(crate) peer: Option<Place>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A command by itself, or the source's side of a transfer.
    Done(Doing),
    /// The destination's side of a transfer.
    Received { from: String, sum: Sum },
    /// A refusal that is kept.
    Refused { command: Command, reason: &'static str },
}

impl Row {
    /// The command that made it; the destination's side of a transfer has none of its own.
    pub(crate) fn command(&self) -> Option<Command> {
        match &self.fact {
            Fact::Done(doing) => {
                let (account, doing) = (self.account.clone(), doing.clone());
                Some(Command { account, doing, expected_version: None })
            }
            Fact::Refused { command, .. } => Some(command.clone()),
            Fact::Received { .. } => None,
        }
    }

    /// Whether it is what this command does when it is accepted.
    pub(crate) fn is_done_by(&self, command: &Command) -> bool {
        self.account == command.account && self.fact == Fact::Done(command.doing.clone())
    }
}

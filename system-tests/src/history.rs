//! What clients did and were told: every attempt of every call, and every read, with the times by one monotonic clock.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::model::{Command, Status};

/// Tokens that readers choose from: the newest ones.
const TOKENS_KEPT: usize = 64;

/// Time since the run began.
pub(crate) type Moment = Duration;

/// What was asked under one request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    One(Command),
    /// A batch that is applied whole or not at all.
    Atomic(Vec<Command>),
}

impl Work {
    pub(crate) fn commands(&self) -> &[Command] {
        match self {
            Self::One(command) => std::slice::from_ref(command),
            Self::Atomic(commands) => commands,
        }
    }
}

/// A request id, and every attempt under it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) request_id: Uuid,
    pub(crate) work: Work,
    pub(crate) attempts: Vec<Attempt>,
}

/// One sending of a call.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) sent: Moment,
    pub(crate) ended: Moment,
    /// Which batch or stream it came in, and its place there: commands on one account are decided in that order.
    pub(crate) lane: Option<(u64, usize)>,
    pub(crate) answer: Answer,
}

/// What an attempt was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One for each command.
    Applied(Vec<Done>),
    Refused(Refused),
    /// Certain of this attempt, and says nothing of the request: shed, unavailable, invalid.
    NotApplied {
        code: String,
        reason: String,
    },
    /// May have been applied, or may still be.
    Unknown {
        code: String,
        reason: String,
    },
}

/// A command that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) log_id: Uuid,
    /// Where its events are: of a transfer, both.
    pub(crate) places: BTreeMap<i16, i64>,
    /// Where its first event is.
    pub(crate) position: i64,
    pub(crate) replayed: bool,
    /// The account after it, and of a transfer the destination.
    pub(crate) accounts: Vec<Seen>,
}

/// An account as a service showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) account: String,
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) limit: i64,
    pub(crate) status: Status,
}

/// A refusal by the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) replayed: bool,
    /// Of a version conflict.
    pub(crate) versions: Option<(i64, i64)>,
    /// Of an atomic batch: which command, and why.
    pub(crate) command: Option<(usize, String)>,
}

impl Refused {
    /// Whether it stands for ever under its request id.
    pub(crate) fn is_kept(&self) -> bool {
        let (expected, current) = self.versions.unzip();
        crate::model::is_kept(&self.reason, expected, current)
    }
}

impl Answer {
    /// Whether it is of a request that nobody will ever accept.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self, Self::NotApplied { code, .. } if code == "InvalidArgument")
    }

    /// Whether it asks for the same request again.
    pub(crate) fn is_shed(&self) -> bool {
        matches!(self, Self::NotApplied { .. }) && !self.is_invalid()
    }
}

/// What a caller knows of a call in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending<'a> {
    Applied(&'a [Done]),
    /// Refused for ever.
    Refused(&'a Refused),
    /// No attempt was applied and none can be any more.
    Nothing,
    /// An earlier attempt may have been applied, and no later answer says whether.
    Undecided,
    /// Nobody asked again until there was an answer.
    Unresolved,
}

impl Call {
    pub(crate) fn new(request_id: Uuid, work: Work) -> Self {
        Self { request_id, work, attempts: Vec::new() }
    }

    /// What its caller knows of it.
    pub(crate) fn ending(&self) -> Ending<'_> {
        let answers = || self.attempts.iter().map(|attempt| &attempt.answer);
        for answer in answers() {
            match answer {
                Answer::Applied(done) => return Ending::Applied(done),
                Answer::Refused(refused) if refused.is_kept() => return Ending::Refused(refused),
                _ => {}
            }
        }
        // What is invalid was so in every attempt.
        let unknown = |answer: &Answer| matches!(answer, Answer::Unknown { .. });
        if answers().any(Answer::is_invalid) || !answers().any(unknown) {
            return Ending::Nothing;
        }
        // These are of the state, which no attempt that is still under way can change back.
        let final_refusal = |answer: &Answer| match answer {
            Answer::Refused(refused) => {
                matches!(refused.reason.as_str(), "ACCOUNT_ALREADY_EXISTS" | "VERSION_CONFLICT")
            }
            _ => false,
        };
        match self.attempts.last().map(|attempt| &attempt.answer) {
            Some(answer) if final_refusal(answer) => Ending::Nothing,
            Some(Answer::Refused(_)) => Ending::Undecided,
            _ => Ending::Unresolved,
        }
    }

    /// When it was first sent.
    pub(crate) fn began(&self) -> Moment {
        self.attempts.iter().map(|attempt| attempt.sent).min().unwrap_or_default()
    }

    /// When its caller first knew that it was applied, and how.
    pub(crate) fn applied(&self) -> Option<(Moment, &[Done])> {
        let applied = self.attempts.iter().filter_map(|attempt| match &attempt.answer {
            Answer::Applied(done) => Some((attempt.ended, done.as_slice())),
            _ => None,
        });
        applied.min_by_key(|(ended, _)| *ended)
    }
}

/// Which prefix of which log an answer includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AsOf {
    pub(crate) log_id: Uuid,
    pub(crate) positions: BTreeMap<i16, i64>,
}

/// How fresh a read was asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Freshness {
    Any,
    /// Positions of a token.
    Token(BTreeMap<i16, i64>),
    Staleness(Duration),
}

/// A read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) reader: usize,
    /// Which life of the reader answered; `None` if it was started anew meanwhile.
    pub(crate) life: Option<u64>,
    pub(crate) sent: Moment,
    pub(crate) ended: Moment,
    pub(crate) asked: Freshness,
    pub(crate) answer: ReadAnswer,
}

/// What a read was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadAnswer {
    Found {
        as_of: AsOf,
        staleness: Option<Duration>,
        found: Found,
    },
    /// NOT_FOUND, in this prefix of the log.
    Missing {
        account: String,
        as_of: Option<AsOf>,
    },
    /// NOT_FOUND of a transaction, by the place of its first event.
    NoTransaction {
        place: (i16, i64),
        as_of: Option<AsOf>,
    },
    Failed {
        code: String,
        reason: String,
    },
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Accounts with version and balance, and the rest of it where it was shown.
    Balances(Vec<(String, i64, i64)>),
    Account(Seen),
    /// All accounts of the owner whom everybody uses.
    OfOwner(Vec<Seen>),
    /// One entry of a statement, by its id.
    Transaction {
        account: String,
        entry: (i64, i64),
    },
    /// The newest page of a statement, of at most so many lines: version and balance after each entry, newest first.
    Statement {
        account: String,
        most: usize,
        entries: Vec<(i64, i64)>,
    },
    /// Per currency: accounts, what came in, what went out, what is there, what is under way.
    Totals(Vec<(String, i64, [i128; 4])>),
}

impl Found {
    /// The view it comes from.
    pub(crate) fn view(&self) -> &'static str {
        match self {
            Self::Balances(_) | Self::Account(_) | Self::OfOwner(_) => "accounts",
            Self::Statement { .. } | Self::Transaction { .. } => "transactions",
            Self::Totals(_) => "totals",
        }
    }
}

/// Everything that clients wrote down, and what they tell each other.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    calls: Mutex<Vec<Call>>,
    reads: Mutex<Vec<Read>>,
    tokens: Mutex<Vec<String>>,
    applied: AtomicU64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            calls: Mutex::default(),
            reads: Mutex::default(),
            tokens: Mutex::default(),
            applied: AtomicU64::new(0),
        }
    }
}

impl History {
    pub(crate) fn now(&self) -> Moment {
        self.began.elapsed()
    }

    pub(crate) fn add(&self, call: Call) {
        locked(&self.calls).push(call);
    }

    pub(crate) fn add_read(&self, read: Read) {
        locked(&self.reads).push(read);
    }

    /// A write was acknowledged with this token.
    pub(crate) fn note_token(&self, token: &str) {
        let place = self.applied.fetch_add(1, Ordering::Relaxed);
        let mut tokens = locked(&self.tokens);
        if tokens.len() < TOKENS_KEPT {
            tokens.push(token.to_owned());
        } else if let Some(kept) =
            usize::try_from(place).ok().and_then(|place| tokens.get_mut(place % TOKENS_KEPT))
        {
            token.clone_into(kept);
        }
    }

    /// A token of some write of late.
    pub(crate) fn some_token(&self, place: u64) -> Option<String> {
        let tokens = locked(&self.tokens);
        let place = usize::try_from(place).ok()?.checked_rem(tokens.len())?;
        tokens.get(place).cloned()
    }

    /// How many acknowledgements there were so far.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> (Vec<Call>, Vec<Read>) {
        (std::mem::take(&mut *locked(&self.calls)), std::mem::take(&mut *locked(&self.reads)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod given {
    //! Calls for tests.

    use super::*;

    pub(crate) const LOG: Uuid = Uuid::from_u128(42);

    pub(crate) fn ms(millis: u64) -> Moment {
        Duration::from_millis(millis)
    }

    /// A call of one command with its first attempt.
    pub(crate) fn call(id: u128, command: Command, sent: u64, ended: u64, answer: Answer) -> Call {
        let mut call = Call::new(Uuid::from_u128(id), Work::One(command));
        call.attempts.push(attempt(sent, ended, answer));
        call
    }

    pub(crate) fn attempt(sent: u64, ended: u64, answer: Answer) -> Attempt {
        Attempt { sent: ms(sent), ended: ms(ended), lane: None, answer }
    }

    /// Acknowledged at a position of shard 0, with what was shown of the account.
    pub(crate) fn applied(position: i64, account: &str, version: i64, balance: i64) -> Answer {
        let (account, limit, status) = (account.to_owned(), 0, Status::Open);
        let accounts = vec![Seen { account, version, balance, limit, status }];
        Answer::Applied(vec![Done {
            log_id: LOG,
            places: [(0, position)].into(),
            position,
            replayed: false,
            accounts,
        }])
    }

    pub(crate) fn refused(reason: &str) -> Answer {
        Answer::Refused(Refused {
            code: "FailedPrecondition".into(),
            reason: reason.into(),
            replayed: false,
            versions: None,
            command: None,
        })
    }

    pub(crate) fn unknown() -> Answer {
        Answer::Unknown { code: "Unavailable".into(), reason: "OUTCOME_UNKNOWN".into() }
    }

    pub(crate) fn shed() -> Answer {
        Answer::NotApplied { code: "ResourceExhausted".into(), reason: "OVERLOADED".into() }
    }

    pub(crate) fn as_of(position: i64) -> AsOf {
        AsOf { log_id: LOG, positions: [(0, position)].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::{given::*, *};
    use crate::model::{
        Doing,
        given::{command, euros},
    };

    fn ending_of(answers: Vec<Answer>) -> String {
        let mut call = call(1, command("a", Doing::Deposit(euros(1))), 0, 1, unknown());
        call.attempts = answers.into_iter().map(|answer| attempt(0, 1, answer)).collect();
        format!("{:?}", call.ending()).split(['(', ' ']).next().unwrap().to_owned()
    }

    #[test]
    fn once_unknown_a_call_stays_so_until_an_answer_is_of_the_request_itself() {
        assert_eq!(ending_of(vec![shed()]), "Nothing");
        assert_eq!(ending_of(vec![refused("ACCOUNT_NOT_FOUND")]), "Nothing");
        assert_eq!(ending_of(vec![unknown(), shed()]), "Unresolved");
        let (code, reason) = ("InvalidArgument".into(), "AMOUNT_NOT_POSITIVE".into());
        assert_eq!(ending_of(vec![unknown(), Answer::NotApplied { code, reason }]), "Nothing");
        assert_eq!(ending_of(vec![unknown(), refused("ACCOUNT_NOT_FOUND")]), "Undecided");
        assert_eq!(ending_of(vec![unknown(), refused("BATCH_REFUSED")]), "Undecided");
        assert_eq!(ending_of(vec![unknown(), refused("ACCOUNT_ALREADY_EXISTS")]), "Nothing");
        assert_eq!(ending_of(vec![unknown(), refused("INSUFFICIENT_FUNDS")]), "Refused");
        assert_eq!(ending_of(vec![unknown(), applied(1, "a", 1, 1)]), "Applied");
    }
}

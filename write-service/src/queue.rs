//! The way from a call to the sequencer and back: one bounded queue in which callers take turns, and for each command a
//! mark of who has it.

mod arrivals;
mod patience;
mod places;

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use access::Reach;
use event_store::BatchExtent;
use ledger::{Command, RequestId};
use service_kit::shares::Party;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

use self::places::Hall;
pub(crate) use self::{arrivals::Arrivals, places::Places};
use crate::answer::{Answer, CommandError, NoPlace};

/// Most commands of one call.
pub(crate) const CALL_COMMANDS_MAX: usize = 1_000;
const _: () = assert!(2 * CALL_COMMANDS_MAX <= BatchExtent::ROWS_MAX as usize);

/// Nobody has begun the command; its caller may still withdraw it.
const QUEUED: u8 = 0;
/// The sequencer has it; it runs to its end, whether its caller waits or not.
const TAKEN: u8 = 1;
/// Its caller went away before it was begun; it will never run.
const ABANDONED: u8 = 2;

/// Who has a command. Caller and sequencer race for it, and exactly one wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// The sequencer's side: true when the command may be begun, or has been.
    pub(crate) fn take(&self) -> bool {
        self.0.compare_exchange(QUEUED, TAKEN, Ordering::AcqRel, Ordering::Acquire)
            != Err(ABANDONED)
    }

    /// Whether its caller has gone before it was begun.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }

    /// The caller's side: true when the command is certain never to be begun.
    fn abandon(&self) -> bool {
        self.0.compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            != Err(TAKEN)
    }
}

/// What a caller wants decided under one request id.
#[derive(Debug)]
pub(crate) enum Work {
    /// One command.
    Command(Command),
    /// All of several commands, or none. They have the batch's request id.
    Atomic(Vec<Command>),
}

impl Work {
    pub(crate) fn commands(&self) -> &[Command] {
        match self {
            Self::Command(command) => std::slice::from_ref(command),
            Self::Atomic(commands) => commands,
        }
    }

    /// The command whose first row has the request id. Its account says which shard the work is looked for in.
    pub(crate) fn key(&self) -> &Command {
        let commands = self.commands();
        &commands[key_command(commands)] // the border refuses empty batches
    }
}

/// Which command's first row has the request id: whatever order a retry has its commands in, it is looked for in the same
/// shard, and found to be another.
pub(crate) fn key_command(commands: &[Command]) -> usize {
    (0..commands.len()).min_by_key(|index| &commands[*index].account_id).unwrap_or_default()
}

/// Commands of one batch or stream, which are decided in the order sent where they touch the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lane(u64);

impl Lane {
    /// A lane of its own.
    pub(crate) fn new() -> Self {
        static LANES: AtomicU64 = AtomicU64::new(0);
        Self(LANES.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where work comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Whose turn it takes.
    pub(crate) party: Party,
    /// Who sent it, as far as known.
    pub(crate) actor: Option<String>,
    /// Which accounts it may touch and be told of.
    pub(crate) reach: Reach,
    /// The trace it came in, as far as known.
    pub(crate) trace_context: Option<Vec<u8>>,
    /// Unset for a call by itself: calls under way at once have no order.
    pub(crate) lane: Option<Lane>,
}

/// Work on its way, with where to send the answer.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) work: Work,
    pub(crate) origin: Origin,
    pub(crate) claim: Claim,
    /// Whether the log was asked for its accounts, of late or not.
    pub(crate) was_loaded: bool,
    reply: oneshot::Sender<Answer>,
    /// Its place among those that wait, wherever they do: also set aside, or behind a twin.
    place: Option<Place>,
}

impl Ticket {
    pub(crate) fn request_id(&self) -> RequestId {
        self.work.commands()[0].request_id
    }

    /// How many it brings.
    pub(crate) fn commands(&self) -> usize {
        self.work.commands().len()
    }

    /// It waits no longer, and another may.
    pub(crate) fn leave_place(&mut self) {
        self.place = None;
    }

    /// Answers the caller, if it still waits: with as much as it may know.
    pub(crate) fn answer(self, answer: Answer) {
        let reach = &self.origin.reach;
        let answer = match answer {
            Ok(applied) if !reach.is_everything() => {
                Ok(applied.into_iter().map(|applied| applied.seen_with(reach)).collect())
            }
            answer => answer,
        };
        let _ = self.reply.send(answer);
    }
}

/// The callers' end of the queue.
#[derive(Debug, Clone)]
pub struct CommandQueue {
    sender: mpsc::Sender<Ticket>,
    hall: Hall,
    /// Streams wait for theirs, and whoever waits is served first: with the same places they would leave none to others.
    stream_places: Arc<Semaphore>,
    commands_max: usize,
}

/// Abandons work when its caller goes away, if it was not begun.
struct AbandonOnDrop(Claim);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl CommandQueue {
    /// A queue for at most `commands_max` waiting commands, and half as many of streams.
    pub(crate) fn new(commands_max: usize) -> (Self, Arrivals) {
        let of_streams = commands_max.div_ceil(2);
        let (sender, receiver) = mpsc::channel(commands_max + of_streams);
        let queue = Self {
            sender,
            hall: Hall::new(commands_max),
            stream_places: Arc::new(Semaphore::new(of_streams)),
            commands_max,
        };
        (queue, Arrivals::new(receiver))
    }

    /// Most commands that one call may have here.
    pub(crate) fn call_commands_max(&self) -> usize {
        CALL_COMMANDS_MAX.min(self.commands_max)
    }

    /// Places for so many commands, at once or not at all.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub(crate) fn places(&self, party: Party, commands: usize) -> Result<Places, NoPlace> {
        self.hall.take(party, commands)
    }

    /// A place for one command of a stream, when there is one.
    pub(crate) async fn next_place(&self) -> Place {
        let permit = self.stream_places.clone().acquire_owned().await;
        Place::OfStream(permit.expect("nobody closes the semaphore"))
    }

    /// Queues work. Dropping what is returned abandons it, if it was not begun.
    ///
    /// # Errors
    /// [`CommandError::ShuttingDown`].
    pub(crate) fn submit(
        &self,
        work: Work,
        origin: Origin,
        place: impl Into<Place>,
    ) -> Result<Outstanding, CommandError> {
        let claim = Claim::default();
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket {
            work,
            origin,
            claim: claim.clone(),
            was_loaded: false,
            reply,
            place: Some(place.into()),
        };
        self.sender.try_send(ticket).map_err(|full| match full {
            mpsc::error::TrySendError::Full(_) => CommandError::NoPlace(NoPlace {
                is_own_fault: false,
                retry_after: patience::SHORTEST,
            }),
            mpsc::error::TrySendError::Closed(_) => CommandError::ShuttingDown,
        })?;
        Ok(Outstanding { answer, guard: AbandonOnDrop(claim) })
    }
}

/// Where work waits. It is free again when this is dropped.
#[derive(Debug)]
#[allow(dead_code, reason = "held, never looked at")]
pub(crate) enum Place {
    OfCalls(Places),
    OfStream(OwnedSemaphorePermit),
}

impl From<Places> for Place {
    fn from(places: Places) -> Self {
        Self::OfCalls(places)
    }
}

/// Work that was queued and not answered yet.
pub(crate) struct Outstanding {
    answer: oneshot::Receiver<Answer>,
    guard: AbandonOnDrop,
}

impl Outstanding {
    /// Waits for the answer until `deadline`.
    ///
    /// # Errors
    /// Everything in [`CommandError`]. [`CommandError::DeadlineBeforeStart`] only if the work is certain never to be begun.
    pub(crate) async fn answer(self, deadline: Option<Instant>) -> Answer {
        let Self { answer, guard } = self;
        let answer = match deadline {
            None => answer.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) => answer,
                Err(_) if guard.0.abandon() => return Err(CommandError::DeadlineBeforeStart),
                Err(_) => return Err(CommandError::DeadlinePassed),
            },
        };
        // The sequencer answers all it takes; it drops a ticket only when the process ends in the middle.
        answer.unwrap_or_else(|_| {
            Err(if guard.0.abandon() {
                CommandError::ShuttingDown
            } else {
                CommandError::OutcomeUnknown
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_either_begun_or_abandoned_never_both() {
        let begun = Claim::default();
        assert!(begun.take() && begun.take() && !begun.abandon());
        let abandoned = Claim::default();
        assert!(abandoned.abandon() && abandoned.abandon() && !abandoned.take());
    }
}

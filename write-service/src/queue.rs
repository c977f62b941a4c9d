//! The way from a call to the sequencer and back: one bounded queue, and for each command a mark of who has it.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use ledger::Command;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::answer::{Answer, CommandError};

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

/// A command on its way, with where to send the answer.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) command: Command,
    /// Who sent it, as far as known.
    pub(crate) actor: Option<String>,
    /// The trace it came in, as far as known.
    pub(crate) trace_context: Option<Vec<u8>>,
    pub(crate) claim: Claim,
    reply: oneshot::Sender<Answer>,
    /// Its place among those that wait, wherever they do: also set aside, or behind a twin.
    place: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// It waits no longer, and another may.
    pub(crate) fn leave_place(&mut self) {
        self.place = None;
    }

    /// Answers the caller, if it still waits.
    pub(crate) fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }
}

/// The callers' end of the queue.
#[derive(Debug, Clone)]
pub struct CommandQueue {
    sender: mpsc::Sender<Ticket>,
    places: Arc<Semaphore>,
}

/// Abandons the command when its caller goes away, if it was not begun.
struct AbandonOnDrop(Claim);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl CommandQueue {
    /// A queue for at most `commands_max` waiting commands.
    pub(crate) fn new(commands_max: usize) -> (Self, mpsc::Receiver<Ticket>) {
        let (sender, receiver) = mpsc::channel(commands_max);
        (Self { sender, places: Arc::new(Semaphore::new(commands_max)) }, receiver)
    }

    /// Queues a command and waits for its answer until `deadline`.
    ///
    /// # Errors
    /// Everything in [`CommandError`]. [`CommandError::DeadlineBeforeStart`] only if the command is certain never to run.
    pub async fn execute(
        &self,
        command: Command,
        actor: Option<String>,
        trace_context: Option<Vec<u8>>,
        deadline: Option<Instant>,
    ) -> Answer {
        let place =
            self.places.clone().try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        let place = Some(place);
        let claim = Claim::default();
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket { command, actor, trace_context, claim: claim.clone(), reply, place };
        self.sender.try_send(ticket).map_err(|full| match full {
            mpsc::error::TrySendError::Full(_) => CommandError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CommandError::ShuttingDown,
        })?;
        let guard = AbandonOnDrop(claim);
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

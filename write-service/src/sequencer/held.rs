//! Request ids that are held: of all work with the same id only one is under way, and what becomes of it becomes of the others.

use std::mem;

use ledger::RequestId;
use tokio::time::Instant;

use super::{Pending, Sequencer};
use crate::answer::CommandError;

/// Whether the log was asked for the command's request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// Not yet. The append will find out.
    No,
    /// Not yet, but it must be before it is decided: it is probably there.
    Wanted,
    /// It was not in the log when it was asked for, and nothing was missed since: the same epoch.
    Absent { epoch: u64 },
    /// It was not, but then it was not held yet, and a twin may have come and gone since.
    AbsentBefore,
}

/// A request id that is held here.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Later work of the same id, which is set aside.
    pub(super) waiting: Vec<Pending>,
    /// It was met in what was learned from the log: whatever a look has said, it is there now.
    pub(super) met: bool,
}

impl Sequencer {
    /// Lets work through to be decided, unless its caller left, its twin is under way, or it is probably old.
    pub(super) fn admit(&mut self, mut pending: Pending) -> Option<Pending> {
        let request_id = pending.request_id();
        if pending.ticket.claim.is_abandoned() {
            if pending.held {
                self.release(request_id);
            }
            return None;
        }
        if !pending.held {
            if let Some(held) = self.held.get_mut(&request_id) {
                // What becomes of its twin becomes of it: from here on its caller can no longer be told "not applied".
                if pending.ticket.claim.take() {
                    self.lanes.set_aside(pending.sequence, &pending.ticket);
                    held.waiting.push(pending);
                }
                return None;
            }
            self.held.insert(request_id, Held::default());
            pending.held = true;
            if matches!(pending.looked, Looked::Absent { .. }) {
                pending.looked = Looked::AbsentBefore;
            }
        }
        let met = self.held.get_mut(&request_id).is_some_and(|held| mem::take(&mut held.met));
        let suspicious = self.suspicious_until.is_some_and(|until| Instant::now() < until);
        if met || pending.looked == Looked::Wanted || (suspicious && pending.looked == Looked::No) {
            self.look_up(pending);
            return None;
        }
        Some(pending)
    }

    /// Lets go of a request id: later work with it is looked at now. It is probably in the log.
    pub(super) fn release(&mut self, request_id: RequestId) {
        let mut waiting = self.held.remove(&request_id).unwrap_or_default().waiting;
        for pending in &mut waiting {
            pending.looked = Looked::Wanted;
        }
        self.go_on(waiting);
    }

    /// Answers work that was not put in the log, and lets go of its id.
    pub(super) fn refuse(&mut self, pending: Pending, error: CommandError) {
        let (request_id, held) = (pending.request_id(), pending.held);
        let unknown = matches!(error, CommandError::OutcomeUnknown);
        pending.ticket.answer(Err(error));
        if !held {
            return;
        }
        if unknown {
            // Its twins know no more than it does.
            for twin in self.held.remove(&request_id).unwrap_or_default().waiting {
                self.lanes.goes_on(twin.sequence, &twin.ticket);
                twin.ticket.answer(Err(CommandError::OutcomeUnknown));
            }
        } else {
            self.release(request_id);
        }
    }
}

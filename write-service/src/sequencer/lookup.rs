//! Asking the log for request ids: of commands that are probably old, and of those about to be refused without a trace.

use std::collections::HashMap;

use event_store::{Error, Head, StoredOutcome};
use ledger::{AccountId, RequestId, Shard};
use tokio::time::Instant;

use super::{
    Pending, Sequencer, accounts::Slot, held::Looked, reading::Reading, recovery::SUSPICIOUS_FOR,
    settle::Trouble,
};
use crate::{
    answer::CommandError,
    queue::Ticket,
    replay::{Told, stored_answer},
};

/// Most commands that one look serves.
const COMMANDS_MAX: usize = 1024;

/// What one shard said: its head, and which commands it has.
type Seen = (Shard, Option<Head>, HashMap<RequestId, StoredOutcome>);

/// Commands whose request ids have to be looked up.
#[derive(Default)]
pub(super) struct Lookups {
    waiting: Vec<Pending>,
    running: Option<Running>,
}

struct Running {
    commands: Vec<Pending>,
    epoch: u64,
    answer: Reading<Result<Vec<Seen>, Error>>,
}

/// How many of the first are so many commands together, or a little more.
pub(super) fn within<'a>(
    commands_max: usize,
    waiting: impl IntoIterator<Item = &'a Pending>,
) -> usize {
    let mut commands = 0;
    let fits = |pending: &&Pending| {
        let fits = commands < commands_max;
        commands += pending.commands();
        fits
    };
    waiting.into_iter().take_while(fits).count()
}

/// A look that has ended.
pub(super) struct LookedUp {
    commands: Vec<Pending>,
    epoch: u64,
    seen: Result<Vec<Seen>, Error>,
}

impl Lookups {
    pub(super) fn add(&mut self, pending: Pending) {
        self.waiting.push(pending);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// The look that is running, when it has ended. Safe to drop and call again.
    pub(super) async fn finished(&mut self) -> LookedUp {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let seen = running.answer.ended().await;
        let Some(Running { commands, epoch, .. }) = self.running.take() else {
            return std::future::pending().await;
        };
        LookedUp { commands, epoch, seen }
    }

    /// Gives up what is running, and gives all commands back.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Pending> + use<> {
        let running = self.running.take().map(|running| running.commands).unwrap_or_default();
        running.into_iter().chain(std::mem::take(&mut self.waiting))
    }
}

impl Sequencer {
    /// Starts a look for the commands that wait, if none is running.
    pub(super) fn start_lookups(&mut self) {
        let (Some(connections), Some(identity)) = (&self.connections, self.identity) else {
            return;
        };
        if self.lookups.running.is_some() || self.lookups.waiting.is_empty() {
            return;
        }
        let rest = self.lookups.waiting.split_off(within(COMMANDS_MAX, &self.lookups.waiting));
        let commands = std::mem::replace(&mut self.lookups.waiting, rest);
        // Every shard is asked for its head, because a refused transfer rests on two of them.
        let mut by_shard: Vec<Vec<RequestId>> = vec![Vec::new(); identity.shards.as_usize()];
        for pending in &commands {
            let shard = pending.ticket.work.key().account_id.shard(identity.shards);
            by_shard[shard.index()].push(pending.request_id());
        }
        let reads = connections.reads.clone();
        let answer = Reading::begin(async move {
            let mut seen = Vec::new();
            for (shard, ids) in identity.shards.shards().zip(by_shard) {
                let (head, outcomes) = reads.outcomes(shard, &ids).await?;
                seen.push((shard, head, outcomes));
            }
            Ok(seen)
        });
        self.metrics.lookups.inc();
        self.lookups.running = Some(Running { commands, epoch: self.epoch, answer });
    }

    /// Answers the commands that are in the log. The others are decided as soon as everything up to the head that was seen
    /// is known here; one that is met while that is learned is looked for again.
    pub(super) fn looked_up(&mut self, looked: LookedUp) {
        let LookedUp { commands, epoch, seen } = looked;
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                self.lookups.waiting.splice(..0, commands).for_each(drop);
                return self.note_failure(&error);
            }
        };
        let mut outcomes = HashMap::new();
        for (shard, head, found) in seen {
            outcomes.extend(found);
            if !self.knows(shard, head.as_ref()) {
                self.note(Trouble::HeadMoved); // nothing is decided before it is learned
            }
        }
        if !outcomes.is_empty() {
            // Without this, appends fail once a second for as long as old commands come.
            self.suspicious_until = Some(Instant::now() + SUSPICIOUS_FOR);
        }
        let mut absent = Vec::new();
        for mut pending in commands {
            match outcomes.remove(&pending.request_id()) {
                Some(stored) => {
                    self.lanes.goes_on(pending.sequence, &pending.ticket);
                    self.answer_stored(pending, &stored, true);
                }
                None => {
                    pending.looked = Looked::Absent { epoch };
                    absent.push(pending);
                }
            }
        }
        self.go_on(absent);
    }

    /// Answers work, and its twins that wait, with the outcome that the log has under its id.
    pub(super) fn answer_stored(
        &mut self,
        pending: Pending,
        stored: &StoredOutcome,
        replayed: bool,
    ) {
        let Some(identity) = self.identity else {
            return self.refuse(pending, CommandError::LedgerUnavailable);
        };
        let log = (identity.log_id, identity.shards);
        let accounts = &mut self.accounts;
        let mut answer = |ticket: Ticket, replayed| {
            let reach = &ticket.origin.reach;
            // Whoever is not known to be the caller's business is not: it is in memory, because the command was decided or denied.
            let sees = |id: &AccountId| {
                accounts
                    .get(id)
                    .and_then(Slot::cached)
                    .is_some_and(|it| reach.includes(&it.account.opening))
            };
            let told = Told { reach, sees };
            let answer = stored_answer(&ticket.work, stored, log, replayed, told);
            ticket.answer(answer);
        };
        let waiting = match pending.held {
            true => self.held.remove(&pending.request_id()).unwrap_or_default().waiting,
            false => Vec::new(),
        };
        let repeated = waiting.len() + usize::from(replayed);
        self.metrics.replays.inc_by(u64::try_from(repeated).unwrap_or(u64::MAX));
        answer(pending.ticket, replayed);
        for twin in waiting {
            self.lanes.goes_on(twin.sequence, &twin.ticket);
            answer(twin.ticket, true);
        }
    }

    /// Whether everything up to a head is known here: it is what was confirmed, or an own batch under way.
    fn knows(&self, shard: Shard, head: Option<&Head>) -> bool {
        let confirmed = &self.confirmed[shard.index()].link;
        let Some(head) = head else { return confirmed.position == ledger::Position::ZERO };
        let own = self.heads_under_way.iter().any(|(of, own)| {
            *of == shard
                && own.link.position == head.link.position
                && own.link.digest == head.link.digest
        });
        own || head.link.position < confirmed.position
            || (head.link.position == confirmed.position && head.link.digest == confirmed.digest)
    }
}

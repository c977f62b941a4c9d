//! Getting going again: after a lost race, an old request id, a lost connection. What was decided and not stored is undone,
//! what others wrote is learned, and the commands are decided anew.

use std::collections::{HashMap, hash_map::Entry};

use event_store::{AppendError, ChainLink, Error, Head, LogIdentity, RecordedEvent, StoredOutcome};
use ledger::{Account, Event, Position, RequestId, Shard};
use tokio::time::{Duration, Instant, sleep_until};

use super::{
    Deferred, Pending, Sequencer,
    accounts::{CachedAccount, Slot},
    connections::Connections,
    held::Looked,
    settle::Trouble,
    turns::CONTENDED_FOR,
};
use crate::{answer::CommandError, queue::Ticket};

/// For so long after an old request id was met, ids are looked up before deciding: where one is, there are more.
pub(super) const SUSPICIOUS_FOR: Duration = Duration::from_secs(1);

/// When others have written more than this, the accounts in memory are dropped rather than brought up to date.
const CATCH_UP_EVENTS_MAX: i64 = 10_000;

/// Events read at a time when catching up.
const PAGE_EVENTS: usize = 2_000;

/// An append that has held the head so long, with the rest of its statement missing, is ended.
const STUCK_AFTER: Duration = Duration::from_secs(4);

/// Commands that lost their answer so often, with nothing stored in between, are refused instead of sent again.
const RESOLVES_MAX: u32 = 3;

/// Least time for learning what happened while the connection was lost. Callers who were promised less get their answer a
/// little late; with less, a slow database would never be caught up with.
const RESUME_PATIENCE_MIN: Duration = Duration::from_secs(2);

/// Pause between attempts to connect: grows from one to the other.
const RECONNECT_PAUSE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(1);

/// Whether commands can be taken, for health.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Not connected yet.
    Starting,
    /// Commands are decided and stored.
    Working,
    /// Commands are refused, with this, because of that.
    Refusing(CommandError, String),
}

/// Why the sequencer ends.
#[derive(Debug)]
pub(super) enum Stop {
    /// The queue is closed and everything is answered.
    Drained,
    /// The log contradicts itself.
    Corrupt(String),
}

/// Work whose answer was lost.
#[derive(Debug)]
pub(super) struct Unanswered {
    pending: Pending,
    /// Where its batch ends, if that is in the log: no two attempts have the same digest. Whether it is says who decided the work,
    /// this attempt or somebody else's.
    ends_at: Option<(Shard, ChainLink)>,
}

impl Sequencer {
    /// Undoes what failed, and makes whatever failed it good.
    pub(super) async fn recover(&mut self) -> Result<(), Stop> {
        let trouble = self.trouble.take();
        let unknown = self.undo_failed();
        let result = match trouble {
            None => Ok(()),
            Some(Trouble::Corrupt(finding)) => {
                return self.corrupt_or_changed(finding, unknown).await;
            }
            // What cannot be stored now may be so for long: connecting anew finds out, and says so by health meanwhile.
            Some(Trouble::Lost | Trouble::Storage) => return self.reconnect(unknown).await,
            Some(Trouble::LogChanged) => self.read_identity().await,
            Some(Trouble::RequestIdTaken) => {
                self.suspicious_until = Some(Instant::now() + SUSPICIOUS_FOR);
                self.catch_up().await
            }
            Some(Trouble::HeadMoved) => {
                self.metrics.lost_races.inc();
                self.contended_until = Some(Instant::now() + CONTENDED_FOR);
                self.catch_up().await
            }
            Some(Trouble::HeadBusy) => self.end_stuck().await,
            Some(Trouble::Contradiction) => {
                self.contradictions += 1;
                if self.contradictions > 1 {
                    return Err(Stop::Corrupt("the log refuses what follows from it".into()));
                }
                self.forget_accounts();
                self.catch_up().await
            }
        };
        if let Err(error) = result {
            self.note_failure(&error);
        }
        Ok(())
    }

    /// Takes back what was decided and not stored. Gives the commands whose fate is unknown; the others are to be decided
    /// anew, before everything else and in their order.
    fn undo_failed(&mut self) -> Vec<Unanswered> {
        let mut failed = std::mem::take(&mut self.failed);
        for (batch, _) in failed.iter_mut().rev() {
            batch.undo(&mut self.accounts);
        }
        self.tentative.clone_from(&self.confirmed);
        self.heads_under_way.clear();
        self.batches_confirmed = self.batches_sent;
        let deferred = std::mem::take(&mut self.deferred);
        let mut again: Vec<Pending> = Vec::new();
        let mut unknown = Vec::new();
        for (batch, error) in failed {
            let looked = match error {
                AppendError::RequestIdTaken => Looked::Wanted,
                _ => Looked::No,
            };
            let storage = match &error {
                AppendError::Storage(cause) => {
                    tracing::error!(error = %cause, "the database cannot store");
                    Some(CommandError::StorageUnavailable(describe(cause)))
                }
                _ => None,
            };
            let ends_at =
                batch.attempt.heads_after().next().map(|(shard, head)| (shard, head.link));
            for (sequence, ticket) in batch.into_tickets() {
                let pending = Pending { sequence, ticket, looked, held: true };
                match (&error, &storage) {
                    (AppendError::Unknown(_) | AppendError::Silent, _) => {
                        unknown.push(Unanswered { pending, ends_at });
                    }
                    (_, Some(refusal)) => self.refuse(pending, refusal.clone()),
                    _ => again.push(pending),
                }
            }
        }
        again.extend(deferred.into_iter().map(|Deferred { pending, .. }| pending));
        self.return_to_ready(again);
        unknown
    }

    fn forget_accounts(&mut self) {
        self.accounts.clear();
        self.epoch += 1;
    }

    async fn end_stuck(&mut self) -> Result<(), Error> {
        if let Some(connections) = &self.connections {
            let ended = connections.control.end_stuck_appends(STUCK_AFTER).await?;
            tracing::warn!(ended, "another append held the head of the log");
        }
        self.catch_up().await
    }

    /// A log that seems to contradict itself may be another one by now; and if it cannot be asked, connecting anew will tell.
    async fn corrupt_or_changed(
        &mut self,
        finding: String,
        mut unknown: Vec<Unanswered>,
    ) -> Result<(), Stop> {
        let there = match &self.connections {
            Some(connections) => connections.reads.log().identity().await.ok(),
            None => None,
        };
        if there.is_none() || there != self.identity {
            return self.reconnect(unknown).await;
        }
        self.tell_unknown(&mut unknown);
        Err(Stop::Corrupt(finding))
    }

    /// Looks which log it is, and begins anew if it is another one.
    async fn read_identity(&mut self) -> Result<(), Error> {
        let Some(connections) = &self.connections else { return Ok(()) };
        let identity = connections.reads.log().identity().await?;
        self.adopt(identity).await
    }

    /// Goes on with a log if it is the one known, and begins anew if it is a later incarnation of it. Any other is not what
    /// acknowledged commands are in.
    async fn adopt(&mut self, identity: LogIdentity) -> Result<(), Error> {
        if self.identity == Some(identity) {
            return self.catch_up().await;
        }
        if let Some(known) = self.identity
            && (known.first_log_id != identity.first_log_id
                || known.incarnation >= identity.incarnation)
        {
            return Err(another_log(&known, &identity));
        }
        let Some(connections) = &self.connections else { return Ok(()) };
        let mut heads = Vec::new();
        for shard in identity.shards.shards() {
            let head = connections.reads.log().head(shard).await?;
            heads.push(head.unwrap_or_else(|| identity.empty_head(shard)));
        }
        tracing::info!(ledger.id = %identity.log_id, incarnation = identity.incarnation, shards = identity.shards.get(), "writing");
        self.identity = Some(identity);
        self.tentative.clone_from(&heads);
        self.confirmed = heads;
        self.forget_accounts();
        Ok(())
    }

    /// Learns what others have written since the confirmed heads.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        let (Some(connections), Some(identity)) = (self.connections.take(), self.identity) else {
            return Ok(());
        };
        let mut result = Ok(());
        for shard in identity.shards.shards() {
            result = self.catch_up_shard(&connections, &identity, shard).await;
            if result.is_err() {
                break;
            }
        }
        self.connections = Some(connections);
        self.tentative.clone_from(&self.confirmed);
        result
    }

    async fn catch_up_shard(
        &mut self,
        connections: &Connections,
        identity: &LogIdentity,
        shard: Shard,
    ) -> Result<(), Error> {
        let index = shard.index();
        let log = connections.reads.log();
        let known = self.confirmed[index];
        let head = log.head(shard).await?.unwrap_or_else(|| identity.empty_head(shard));
        let (there, here) = (head.link.position, known.link.position);
        if there < here || (there == here && head.link.digest != known.link.digest) {
            return Err(went_backwards(shard, &head, &known));
        }
        if there.get() - here.get() > CATCH_UP_EVENTS_MAX {
            if here > Position::ZERO && log.link_at(shard, here).await? != Some(known.link) {
                return Err(went_backwards(shard, &head, &known));
            }
            self.confirmed[index] = head;
            self.forget_accounts();
            return Ok(());
        }
        // Up to the head that was there: one that others keep moving would never be reached.
        while self.confirmed[index].link.position < there {
            let batches = log.read_after(shard, &self.confirmed[index].link, PAGE_EVENTS).await?;
            let Some(last) = batches.last() else { break };
            let head = Head {
                link: last.link,
                recorded_at: Some(last.recorded_at),
                accounts: last.accounts,
            };
            self.contended_until = Some(Instant::now() + CONTENDED_FOR);
            for event in batches.into_iter().flat_map(|batch| batch.events) {
                self.learn(event);
            }
            self.confirmed[index] = head;
            self.metrics.head(shard, head.link.position);
        }
        Ok(())
    }

    /// Brings memory up to an event that this instance has not written, or does not know to have written.
    fn learn(&mut self, event: RecordedEvent) {
        if let Some(held) = event.request_id.and_then(|id| self.held.get_mut(&id)) {
            held.met = true;
        }
        self.loads.learn(&event);
        let known = match &event.event {
            Event::CommandRejected(_) => return,
            Event::AccountOpened { opening, .. } => match self.accounts.get(&opening.account_id) {
                None => None,
                Some(Slot::Absent) => {
                    let (number, opening) = (event.account, opening.clone());
                    let account = Account { number, opening, state: event.state };
                    Some(CachedAccount::stored(event.shard, account, event.recorded_at))
                }
                // Loaded already. Set again, because an opening that was undone may have had its number meanwhile.
                Some(Slot::Present(cached)) => Some(cached.clone()),
            },
            _ => self.accounts.by_number(event.shard, event.account),
        };
        let Some(mut cached) = known else { return };
        // A load may have brought a newer state already.
        if cached.account.state.version < event.state.version {
            cached.account.state = event.state;
        }
        let id = cached.account.opening.account_id.clone();
        self.accounts.set(&id, Slot::Present(cached));
    }

    /// Connects anew, and finds out what became of commands whose answer was lost. Meanwhile commands that were never sent
    /// are refused, once an attempt has failed; those that were are told the truth or, in time, that it is not known.
    async fn reconnect(&mut self, mut unknown: Vec<Unanswered>) -> Result<(), Stop> {
        self.connections = None;
        self.turn_until = None;
        self.take_back_set_aside();
        let tell_by = Instant::now() + self.limits.resolve_within;
        let mut pause = *RECONNECT_PAUSE.start();
        if self.connected_at.is_some_and(|at| at.elapsed() < *RECONNECT_PAUSE.end()) {
            self.wait_refusing(pause, &mut unknown, tell_by).await?; // or what fails at once would be tried at once, for ever
        }
        loop {
            match self.attempt(&mut unknown, tell_by).await? {
                Ok(connections) => {
                    let identity = connections.identity;
                    self.connections = Some(connections);
                    self.connected_at = Some(Instant::now());
                    match self.resume(identity, &mut unknown).await {
                        Ok(()) => break,
                        Err(error @ Error::Corrupt { .. }) => {
                            return Err(Stop::Corrupt(error.to_string()));
                        }
                        Err(error) => self.refuse_meanwhile(&error),
                    }
                }
                Err(error) => self.refuse_meanwhile(&error),
            }
            self.wait_refusing(pause, &mut unknown, tell_by).await?;
            pause = (pause * 2).min(*RECONNECT_PAUSE.end());
        }
        let _ = self.condition.send(Condition::Working);
        Ok(())
    }

    /// Learns what was written meanwhile, and what became of the commands; in as much time as callers were promised.
    async fn resume(
        &mut self,
        identity: LogIdentity,
        unknown: &mut Vec<Unanswered>,
    ) -> Result<(), Error> {
        let patience = self.limits.resolve_within.max(RESUME_PATIENCE_MIN);
        let resumed = async {
            self.adopt(identity).await?;
            self.resolve(unknown).await
        };
        tokio::time::timeout(patience, resumed).await.unwrap_or(Err(Error::Silent("catch up")))
    }

    /// One attempt to connect. New commands wait for it, if none has failed yet.
    async fn attempt(
        &mut self,
        unknown: &mut Vec<Unanswered>,
        tell_by: Instant,
    ) -> Result<Result<Connections, Error>, Stop> {
        let address = self.address.clone();
        let known = self.identity.is_some();
        let mut attempt = Box::pin(async move { address.connect(known).await });
        loop {
            tokio::select! {
                biased;
                result = &mut attempt => return Ok(result),
                () = sleep_until(tell_by), if !unknown.is_empty() => self.tell_unknown(unknown),
                ticket = self.queue.recv() => self.take_or_stop(ticket, unknown)?,
            }
        }
    }

    async fn wait_refusing(
        &mut self,
        pause: Duration,
        unknown: &mut Vec<Unanswered>,
        tell_by: Instant,
    ) -> Result<(), Stop> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                () = sleep_until(tell_by), if !unknown.is_empty() => self.tell_unknown(unknown),
                ticket = self.queue.recv() => self.take_or_stop(ticket, unknown)?,
            }
        }
    }

    fn take_or_stop(
        &mut self,
        ticket: Option<Ticket>,
        unknown: &mut Vec<Unanswered>,
    ) -> Result<(), Stop> {
        let Some(ticket) = ticket else {
            self.tell_unknown(unknown);
            self.refuse_all(&CommandError::ShuttingDown);
            return Err(Stop::Drained);
        };
        let pending = self.number(ticket);
        match self.held.get_mut(&pending.request_id()) {
            // Its twin's fate is unknown, and so is its own.
            Some(held) if pending.ticket.claim.take() => {
                self.lanes.set_aside(pending.sequence, &pending.ticket);
                held.waiting.push(pending);
            }
            Some(_) => {}
            None => self.ready.push_back(pending),
        }
        let refusal = match &*self.condition.borrow() {
            Condition::Refusing(refusal, _) => Some(refusal.clone()),
            Condition::Starting | Condition::Working => None,
        };
        if let Some(refusal) = refusal {
            self.refuse_all(&refusal);
        }
        Ok(())
    }

    fn refuse_meanwhile(&mut self, error: &Error) {
        let refusal = match error {
            Error::Unsafe(why) => CommandError::LedgerUnsafe(why.clone()),
            Error::Refused { cause, .. } => CommandError::StorageUnavailable(describe(cause)),
            Error::Standby => CommandError::StorageUnavailable(error.to_string()),
            Error::Unavailable { .. }
            | Error::Silent(_)
            | Error::Corrupt { .. }
            | Error::NotUnderstood { .. }
            | Error::Settings(_) => CommandError::LedgerUnavailable,
        };
        let why = error.detail();
        let told = match &*self.condition.borrow() {
            Condition::Refusing(_, before) => *before == why,
            Condition::Starting | Condition::Working => false,
        };
        if !told {
            tracing::warn!(error = why, "commands are refused, because the log cannot be written");
        }
        let _ = self.condition.send(Condition::Refusing(refusal.clone(), why));
        self.refuse_all(&refusal);
    }

    /// Refuses every command that is certain not to be applied.
    fn refuse_all(&mut self, refusal: &CommandError) {
        while let Some(pending) = self.ready.pop_front() {
            self.refuse(pending, refusal.clone());
        }
    }

    fn tell_unknown(&mut self, unknown: &mut Vec<Unanswered>) {
        for Unanswered { pending, .. } in unknown.drain(..) {
            self.refuse(pending, CommandError::OutcomeUnknown);
        }
    }

    /// Finds out what became of commands whose answer was lost. The connection that sent them is known to be gone, so what
    /// is not in the log will never be.
    async fn resolve(&mut self, unknown: &mut Vec<Unanswered>) -> Result<(), Error> {
        let (Some(connections), Some(identity)) = (&self.connections, self.identity) else {
            return Ok(());
        };
        let reads = connections.reads.clone();
        let mut stored: HashMap<RequestId, StoredOutcome> = HashMap::new();
        for shard in identity.shards.shards() {
            let ids: Vec<_> = unknown
                .iter()
                .map(|unanswered| &unanswered.pending)
                .filter(|pending| {
                    pending.ticket.work.key().account_id.shard(identity.shards) == shard
                })
                .map(Pending::request_id)
                .collect();
            if !ids.is_empty() {
                stored.extend(reads.outcomes(shard, &ids).await?.1);
            }
        }
        let mut is_stored: HashMap<[u8; 32], bool> = HashMap::new();
        for (shard, link) in unknown.iter().filter_map(|unanswered| unanswered.ends_at) {
            if let Entry::Vacant(batch) = is_stored.entry(link.digest) {
                let there = reads.log().link_at(shard, link.position).await?;
                batch.insert(there.is_some_and(|there| there.digest == link.digest));
            }
        }
        if !unknown.is_empty() {
            self.resolved_in_a_row += 1;
            tracing::info!(
                commands = unknown.len(),
                applied = stored.len(),
                "lost answers are found"
            );
        }
        let mut absent = Vec::new();
        for Unanswered { pending, ends_at } in unknown.drain(..) {
            let is_own = ends_at.is_some_and(|(_, link)| is_stored[&link.digest]);
            match stored.remove(&pending.request_id()) {
                Some(outcome) => self.answer_stored(pending, &outcome, !is_own),
                // Whatever breaks the connection may be this very batch: it is not tried for ever.
                None if self.resolved_in_a_row > RESOLVES_MAX => {
                    self.refuse(pending, CommandError::LedgerUnavailable);
                }
                None => absent.push(pending),
            }
        }
        self.return_to_ready(absent);
        Ok(())
    }

    /// Answers every command with LEDGER_CORRUPT until the service ends.
    pub(super) async fn refuse_for_ever(mut self, finding: String) {
        tracing::error!(finding, "LEDGER_CORRUPT: writing has stopped");
        let refusal = CommandError::LedgerCorrupt(finding.clone());
        let _ = self.condition.send(Condition::Refusing(refusal.clone(), finding));
        let mut unknown = self.undo_failed();
        self.tell_unknown(&mut unknown);
        self.take_back_set_aside();
        self.refuse_all(&refusal);
        // What is still held was lost in the middle of finding out.
        for twin in self.held.drain().flat_map(|(_, held)| held.waiting) {
            twin.ticket.answer(Err(CommandError::OutcomeUnknown));
        }
        while let Some(ticket) = self.queue.recv().await {
            ticket.answer(Err(refusal.clone()));
        }
    }
}

fn another_log(known: &LogIdentity, there: &LogIdentity) -> Error {
    Error::Corrupt {
        shard: Shard::ZERO,
        position: Position::ZERO,
        finding: format!(
            "log {} of incarnation {} is there, but commands were acknowledged in log {} of incarnation {}",
            there.log_id, there.incarnation, known.log_id, known.incarnation
        ),
    }
}

fn went_backwards(shard: Shard, there: &Head, here: &Head) -> Error {
    Error::Corrupt {
        shard,
        position: there.link.position,
        finding: format!(
            "the log ends at {} with another history than was seen up to {}; if a backup was restored on purpose, run \
             `counterfoil new-incarnation`",
            there.link.position, here.link.position
        ),
    }
}

/// What the database said, for the caller: never values of rows.
fn describe(cause: &tokio_postgres::Error) -> String {
    cause.as_db_error().map_or_else(|| "no answer".into(), |refusal| refusal.message().to_owned())
}

//! The sequencer: decides commands one after another against accounts in memory, and appends them in batches, several
//! under way at once.
//!
//! One task owns all of this, so nothing is locked. What it relies on is the compare-and-set of the append alone: memory
//! may be stale, another instance may write, an answer may be lost; then the append is refused or its fate is looked up,
//! what was decided on it is undone, and the commands are decided anew. See `docs/ARCHITECTURE.md`, "The sequencer".
//!
//! It never waits on a timer to fill a batch: it sends what is there as soon as one of the places under way is free.

mod accounts;
mod batch;
mod connections;
mod held;
mod lanes;
mod load;
mod lookup;
pub(crate) mod permission;
mod reading;
pub(crate) mod recovery;
mod settle;
mod turns;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use event_store::{AppendError, Appended, AttemptMark, Head, LogIdentity};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, maybe_done},
    stream::FuturesOrdered,
};
use ledger::{LogId, RequestId, Shard, ShardCount};
use tokio::{sync::Notify, time::Instant};

use self::{
    accounts::AccountCache,
    batch::{Batch, Decided, SealedBatch, Tentative},
    connections::{Address, Connections},
    held::{Held, Looked},
    lanes::Lanes,
    load::Loads,
    lookup::Lookups,
    permission::Asked,
    recovery::{Condition, Stop},
    settle::Trouble,
};
use crate::{
    answer::CommandError,
    metrics::Metrics,
    queue::{Arrivals, CALL_COMMANDS_MAX, Ticket},
};

/// How much the sequencer holds and sends.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) batch_commands_max: usize,
    pub(crate) batches_under_way_max: usize,
    pub(crate) accounts_max: usize,
    /// How long a command whose fate is unknown is held back before its caller is told so.
    pub(crate) resolve_within: Duration,
}

impl Limits {
    /// Fewest accounts in memory, whatever the setting: an account with a decision under way is never dropped, because no more
    /// loads are started than two while nothing can be sent. An atomic batch is never divided, so each append and each load
    /// may be larger by one.
    fn accounts_min(&self) -> usize {
        const ACCOUNTS_PER_COMMAND: usize = 2;
        const GENERATIONS: usize = 2;
        const MARGIN: usize = 2;
        let under_way = (self.batch_commands_max + CALL_COMMANDS_MAX) * self.batches_under_way_max;
        let loaded = 2 * (load::COMMANDS_MAX + CALL_COMMANDS_MAX);
        ACCOUNTS_PER_COMMAND * GENERATIONS * MARGIN * (under_way + loaded)
    }
}

/// Work that the sequencer has, a command or an atomic batch of them, and what was learned about it on its way.
#[derive(Debug)]
struct Pending {
    /// Its place among all that came.
    sequence: u64,
    ticket: Ticket,
    looked: Looked,
    /// Whether its request id stands in [`Sequencer::held`].
    held: bool,
}

impl Pending {
    fn request_id(&self) -> RequestId {
        self.ticket.request_id()
    }

    /// How many commands it is.
    fn commands(&self) -> usize {
        self.ticket.work.commands().len()
    }
}

/// A refusal that is not kept in the log, and the batch it rests on.
#[derive(Debug)]
struct Deferred {
    after_batch: u64,
    pending: Pending,
    refusal: CommandError,
}

/// A batch under way, with its answer to come.
type UnderWay = BoxFuture<'static, (SealedBatch, Result<Vec<Appended>, AppendError>)>;

/// The task that decides and appends.
pub(crate) struct Sequencer {
    limits: Limits,
    address: Address,
    connections: Option<Connections>,
    identity: Option<LogIdentity>,
    queue: Arrivals,
    /// How many came so far.
    sequence: u64,
    /// To be decided next, before what is in the queue; in the order they came.
    ready: VecDeque<Pending>,
    lanes: Lanes,
    held: HashMap<RequestId, Held>,
    accounts: AccountCache,
    /// Per shard: what is known to be stored.
    confirmed: Vec<Head>,
    /// Per shard: what will be when everything under way is stored.
    tentative: Vec<Head>,
    under_way: FuturesOrdered<UnderWay>,
    batches_sent: u64,
    batches_confirmed: u64,
    /// The heads that the batches under way will make, oldest first.
    heads_under_way: VecDeque<(Shard, Head)>,
    last_sent: Option<AttemptMark>,
    failed: Vec<(SealedBatch, AppendError)>,
    trouble: Option<Trouble>,
    deferred: Vec<Deferred>,
    loads: Loads,
    lookups: Lookups,
    /// Grows whenever memory was dropped because not all was learned that others wrote.
    epoch: u64,
    suspicious_until: Option<Instant>,
    contended_until: Option<Instant>,
    /// Until when this instance may send batches, if it has its turn among others.
    turn_until: Option<Instant>,
    contradictions: u32,
    /// Times that lost answers were looked for since a batch was stored.
    resolved_in_a_row: u32,
    connected_at: Option<Instant>,
    doorbell: std::sync::Arc<Notify>,
    condition: tokio::sync::watch::Sender<Condition>,
    metrics: Metrics,
}

/// What a sequencer is made of.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) database_url: String,
    pub(crate) shards: Option<ShardCount>,
    pub(crate) instance: String,
    pub(crate) queue: Arrivals,
    pub(crate) doorbell: std::sync::Arc<Notify>,
    pub(crate) condition: tokio::sync::watch::Sender<Condition>,
    pub(crate) metrics: Metrics,
}

impl Sequencer {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { limits, database_url, shards, instance, queue, doorbell, condition, metrics } =
            parts;
        Self {
            accounts: AccountCache::new(limits.accounts_max.max(limits.accounts_min())),
            limits,
            address: Address { database_url, shards, instance },
            connections: None,
            identity: None,
            queue,
            sequence: 0,
            ready: VecDeque::new(),
            lanes: Lanes::default(),
            held: HashMap::new(),
            confirmed: Vec::new(),
            tentative: Vec::new(),
            under_way: FuturesOrdered::new(),
            batches_sent: 0,
            batches_confirmed: 0,
            heads_under_way: VecDeque::new(),
            last_sent: None,
            failed: Vec::new(),
            trouble: Some(Trouble::Lost),
            deferred: Vec::new(),
            loads: Loads::default(),
            lookups: Lookups::default(),
            epoch: 0,
            suspicious_until: None,
            contended_until: None,
            turn_until: None,
            contradictions: 0,
            resolved_in_a_row: 0,
            connected_at: None,
            doorbell,
            condition,
            metrics,
        }
    }

    /// Runs until the queue is closed and everything in it is answered.
    pub(crate) async fn run(mut self) {
        loop {
            let stop = match self.recover().await {
                Ok(()) => self.work().await,
                Err(stop) => Err(stop),
            };
            match stop {
                Ok(()) => {}
                Err(Stop::Drained) => return,
                Err(Stop::Corrupt(finding)) => return self.refuse_for_ever(finding).await,
            }
        }
    }

    /// Decides and appends, until there is trouble and everything under way has ended.
    async fn work(&mut self) -> Result<(), Stop> {
        loop {
            self.end_turn().await;
            if self.trouble.is_none() {
                self.fill().await;
            }
            if self.trouble.is_some() && self.under_way.is_empty() {
                return Ok(());
            }
            let may_take =
                self.trouble.is_none() && self.ready.is_empty() && self.has_place_under_way();
            tokio::select! {
                biased;
                Some((batch, result)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.settle(batch, result);
                }
                loaded = self.loads.finished() => self.install(loaded),
                looked = self.lookups.finished() => self.looked_up(looked),
                // Also when nothing is under way: what was not sent yet is then certain, and health says so.
                () = lost(self.connections.as_ref()), if self.trouble.is_none() => self.note(Trouble::Lost),
                ticket = self.queue.recv(), if may_take => match ticket {
                    Some(ticket) => self.receive(ticket),
                    None if self.is_idle() => return Err(Stop::Drained),
                    None => self.wait_for_anything().await,
                },
            }
        }
    }

    /// With the queue closed, only what is under way can bring news.
    async fn wait_for_anything(&mut self) {
        tokio::select! {
            biased;
            Some((batch, result)) = self.under_way.next(), if !self.under_way.is_empty() => self.settle(batch, result),
            loaded = self.loads.finished() => self.install(loaded),
            looked = self.lookups.finished() => self.looked_up(looked),
            () = lost(self.connections.as_ref()), if self.trouble.is_none() => self.note(Trouble::Lost),
        }
    }

    fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.under_way.is_empty()
            && self.deferred.is_empty()
            && self.lanes.is_idle()
            && self.loads.is_idle()
            && self.lookups.is_idle()
    }

    /// Sends batches while there are commands and places.
    async fn fill(&mut self) {
        while self.has_place_under_way() && self.trouble.is_none() {
            let freed = self.lanes.take_freed();
            self.return_to_ready(freed);
            self.take_from_queue();
            if self.ready.is_empty() {
                break;
            }
            if self.needs_turn() {
                self.take_turn().await;
                if self.trouble.is_some() {
                    return;
                }
            }
            let (Some(connections), Some(identity)) = (self.connections.take(), self.identity)
            else {
                return;
            };
            let batch = self.decide_batch(identity.shards);
            if !batch.is_empty() {
                self.send(batch, &connections, identity.log_id);
            }
            self.connections = Some(connections);
            self.answer_deferred();
        }
        self.start_loads();
        self.start_lookups();
    }

    fn take_from_queue(&mut self) {
        let ready: usize = self.ready.iter().map(|pending| pending.ticket.commands()).sum();
        let wanted = self.limits.batch_commands_max.saturating_sub(ready);
        for ticket in self.queue.take(wanted) {
            self.receive(ticket);
        }
    }

    fn receive(&mut self, ticket: Ticket) {
        let pending = self.number(ticket);
        self.ready.push_back(pending);
    }

    fn number(&mut self, ticket: Ticket) -> Pending {
        self.sequence += 1;
        Pending { sequence: self.sequence, ticket, looked: Looked::No, held: false }
    }

    /// Puts back what is to be decided (again), in the order in which everything came.
    fn return_to_ready(&mut self, pendings: impl IntoIterator<Item = Pending>) {
        let before = self.ready.len();
        self.ready.extend(pendings);
        if self.ready.len() > before {
            self.ready.make_contiguous().sort_by_key(|pending| pending.sequence);
        }
    }

    /// As [`Sequencer::return_to_ready`], for what was set aside.
    fn go_on(&mut self, pendings: Vec<Pending>) {
        for pending in &pendings {
            self.lanes.goes_on(pending.sequence, &pending.ticket);
        }
        self.return_to_ready(pendings);
    }

    /// Everything that is set aside in loads, look-ups and lanes, to be decided again or refused.
    fn take_back_set_aside(&mut self) {
        let set_aside = self.loads.take_all().chain(self.lookups.take_all()).collect();
        self.go_on(set_aside);
        let behind = self.lanes.take_behind();
        self.return_to_ready(behind);
    }

    fn look_up(&mut self, pending: Pending) {
        self.lanes.set_aside(pending.sequence, &pending.ticket);
        self.lookups.add(pending);
    }

    /// Decides what is ready until the batch is full. What cannot be decided yet is set aside.
    fn decide_batch(&mut self, shards: ShardCount) -> Batch {
        let mut batch = Batch::default();
        while batch.len() < self.limits.batch_commands_max {
            let Some(pending) = self.ready.pop_front() else { break };
            let pending = match self.authorise(pending, shards) {
                Asked::Permitted(pending) => pending,
                Asked::Denied(pending) => {
                    self.refuse_without_trace(pending, CommandError::AccessDenied, &batch);
                    continue;
                }
                Asked::SetAside => continue,
            };
            let mut tentative =
                Tentative { shards, accounts: &mut self.accounts, heads: &self.tentative };
            let missing = tentative.missing(&pending.ticket.work);
            if !missing.is_empty() {
                self.load(pending, missing);
                continue;
            }
            if self.lanes.is_behind(pending.sequence, &pending.ticket) {
                self.wait_behind(pending);
                continue;
            }
            // Last of all: who has its request id waits for nobody who has not, or two could wait for each other.
            let Some(Pending { sequence, ticket, looked, held }) = self.admit(pending) else {
                continue;
            };
            let mut tentative =
                Tentative { shards, accounts: &mut self.accounts, heads: &self.tentative };
            match batch.decide(sequence, ticket, &mut tentative) {
                Decided::InBatch => {}
                Decided::Abandoned(ticket) => self.release(ticket.request_id()),
                Decided::Refused(ticket, refusal) => {
                    let pending = Pending { sequence, ticket, looked, held };
                    self.refuse_without_trace(pending, refusal, &batch);
                }
            }
        }
        batch
    }

    /// Refuses what leaves no trace in the log: not before the log was looked at, and all that this rests on is stored.
    fn refuse_without_trace(&mut self, pending: Pending, refusal: CommandError, batch: &Batch) {
        if pending.looked == (Looked::Absent { epoch: self.epoch }) {
            let after_batch = self.batches_sent + u64::from(!batch.is_empty());
            self.deferred.push(Deferred { after_batch, pending, refusal });
        } else {
            self.look_up(pending);
        }
    }

    /// Only deciding is ordered: what will be needed for it is asked for at once, together with what is asked for already.
    fn wait_behind(&mut self, pending: Pending) {
        let is_looked = pending.looked == (Looked::Absent { epoch: self.epoch });
        if is_looked || self.lookups.is_idle() {
            self.lanes.wait_behind(pending);
        } else {
            self.look_up(pending);
        }
    }

    fn send(&mut self, batch: Batch, connections: &Connections, log_id: LogId) {
        let previous = self.last_sent.filter(|_| !self.under_way.is_empty());
        let sealed = batch.seal(log_id, previous);
        for (shard, head) in sealed.attempt.heads_after() {
            self.tentative[shard.index()] = head;
            self.heads_under_way.push_back((shard, head));
        }
        self.last_sent = sealed.attempt.mark();
        self.batches_sent += 1;
        self.metrics.batch_sent(sealed.len());
        let begun = Instant::now();
        let metrics = self.metrics.clone();
        let mut append = Box::pin(maybe_done(connections.appender.append(&sealed.attempt)));
        // The first poll sends it: done here, so that batches are sent in this order and no other.
        let _ = append.as_mut().now_or_never();
        self.under_way.push_back(Box::pin(async move {
            append.as_mut().await;
            metrics.append_seconds.observe(begun.elapsed().as_secs_f64());
            let result = append.as_mut().take_output();
            (sealed, result.expect("it was just awaited, and nobody else takes it"))
        }));
    }
}

/// Waits until the connection that appends is known to be lost.
async fn lost(connections: Option<&Connections>) {
    match connections {
        Some(connections) => connections.appender.closed().await,
        None => std::future::pending().await,
    }
}

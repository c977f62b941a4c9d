//! A batch in the making: commands decided one after another, their rows, and how to undo them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use access::Reach;
use event_store::{
    Appended, Attempt, AttemptMark, BatchExtent, EventData, EventRow, Head, ShardPart,
};
use ledger::{
    Account, AccountId, AccountNumber, Accounts, Command, Decision, Event, LogId, Position,
    Rejection, RequestId, Shard, ShardCount, Timestamp, decide, event::RejectedCommand, evolve,
};

use super::{
    accounts::{AccountCache, CachedAccount, Slot},
    permission::{own_side, own_sides},
};
use crate::{
    answer::{Applied, CommandError, Side},
    queue::{Origin, Ticket, Work, key_command},
};

/// What became of a command when it was looked at.
pub(super) enum Decided {
    /// It is in the batch.
    InBatch,
    /// It is refused, and the refusal is not kept in the log.
    Refused(Ticket, CommandError),
    /// Its caller went away before it was begun.
    Abandoned(Ticket),
}

/// Work that goes to the log together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    tickets: Vec<(u64, Ticket)>,
    /// What was decided, ticket after ticket: each has as many as it has commands.
    commands: Vec<DecidedCommand>,
    parts: BTreeMap<Shard, Part>,
    undo: Vec<(AccountId, Option<Slot>)>,
}

/// How far a batch was when an atomic one began in it.
struct Beginning {
    commands: usize,
    undo: usize,
    /// Rows and accounts of each part.
    parts: BTreeMap<Shard, (usize, i32)>,
}

#[derive(Debug)]
struct Part {
    expected: Head,
    accounts: i32,
    rows: Vec<EventRow>,
}

impl Part {
    fn size(&self) -> (usize, i32) {
        (self.rows.len(), self.accounts)
    }

    /// Where the next row will stand.
    fn next(&self) -> Position {
        self.expected.link.position.plus(self.rows.len() + 1)
    }
}

#[derive(Debug)]
struct DecidedCommand {
    first: DecidedSide,
    second: Option<DecidedSide>,
}

/// The accounts that a command touches, as they stand.
struct Touched {
    account: Option<CachedAccount>,
    destination: Option<CachedAccount>,
}

impl Touched {
    fn of(command: &Command, tentative: &mut Tentative<'_>) -> Self {
        let mut cached =
            |id: &AccountId| tentative.accounts.get(id).and_then(Slot::cached).cloned();
        Self {
            account: cached(&command.account_id),
            destination: command.destination().and_then(cached),
        }
    }

    fn decide(&self, command: &Command) -> Result<Decision, Rejection> {
        let accounts = Accounts {
            account: self.account.as_ref().map(|cached| &cached.account),
            destination: self.destination.as_ref().map(|cached| &cached.account),
        };
        decide(accounts, command)
    }

    /// As [`Touched::decide`], for a caller with this reach. Of a payee who is none of its business a payer learns only whether
    /// he was paid: first the payer's own side is judged, as if the money left the ledger; what then stands against the payee
    /// is one refusal, whatever it is.
    ///
    /// # Errors
    /// The rejection; nothing if the caller may not know it.
    fn decide_for(&self, command: &Command, reach: &Reach) -> Result<Decision, Option<Rejection>> {
        let sees_payee = reach.is_everything()
            || self
                .destination
                .as_ref()
                .is_some_and(|payee| reach.includes(&payee.account.opening));
        let own_side = if sees_payee { None } else { own_side(command) };
        match own_side {
            Some(own_side) => {
                let account = self.account.as_ref().map(|cached| &cached.account);
                decide(Accounts { account, destination: None }, &own_side).map_err(Some)?;
                self.decide(command).map_err(|_| None)
            }
            None => self.decide(command).map_err(Some),
        }
    }

    /// Whether a refusal is kept in the log. One that rests on another shard, whose head the append does not compare, is not.
    fn keeps(&self, rejection: &Rejection) -> bool {
        let rests_elsewhere = match (&self.account, &self.destination) {
            (Some(account), Some(destination)) => {
                account.shard != destination.shard
                    && matches!(rejection, Rejection::BalanceOverflow { .. })
            }
            _ => false,
        };
        rejection.is_stored() && !rests_elsewhere
    }
}

#[derive(Debug)]
struct DecidedSide {
    shard: Shard,
    position: Position,
    cached: CachedAccount,
    event: Event,
}

/// What deciding needs to see and change.
pub(super) struct Tentative<'a> {
    pub(super) shards: ShardCount,
    pub(super) accounts: &'a mut AccountCache,
    /// The heads as they will be when everything under way is stored.
    pub(super) heads: &'a [Head],
}

impl Tentative<'_> {
    /// The accounts of which nothing is in memory.
    pub(super) fn missing(&mut self, work: &Work) -> Vec<AccountId> {
        let mut missing = Vec::new();
        for command in work.commands() {
            for id in [Some(&command.account_id), command.destination()].into_iter().flatten() {
                if self.accounts.get(id).is_none() {
                    missing.push(id.clone());
                }
            }
        }
        missing
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Decides work on the accounts as they stand after everything decided before it. All of them are in memory.
    pub(super) fn decide(
        &mut self,
        sequence: u64,
        mut ticket: Ticket,
        tentative: &mut Tentative<'_>,
    ) -> Decided {
        let refused = match &ticket.work {
            Work::Command(command) => self.decide_command(command, &ticket, tentative),
            Work::Atomic(commands) => self.decide_all(commands, &ticket, tentative),
        };
        match refused {
            Ok(()) => {
                ticket.leave_place();
                self.tickets.push((sequence, ticket));
                Decided::InBatch
            }
            Err(Some(refusal)) => Decided::Refused(ticket, refusal),
            Err(None) => Decided::Abandoned(ticket),
        }
    }

    /// # Errors
    /// The refusal, if it is not kept in the log; nothing, if the caller went away before this was begun.
    fn decide_command(
        &mut self,
        command: &Command,
        ticket: &Ticket,
        tentative: &mut Tentative<'_>,
    ) -> Result<(), Option<CommandError>> {
        let touched = Touched::of(command, tentative);
        let decision = match touched.decide_for(command, &ticket.origin.reach) {
            Ok(decision) => Ok(decision),
            Err(Some(rejection)) => Err(rejection),
            Err(None) => return Err(Some(CommandError::AccessDenied)),
        };
        if let Err(rejection) = decision.as_ref()
            && !touched.keeps(rejection)
        {
            let rejection = rejection.clone();
            return Err(Some(CommandError::Rejected { rejection, replayed: false }));
        }
        if !ticket.claim.take() {
            return Err(None);
        }
        let about =
            About { request_id: Some(command.request_id), is_first: true, origin: &ticket.origin };
        match (decision, touched.account.clone()) {
            (Ok(decision), _) => self.accept(command, decision, touched, about, tentative),
            (Err(rejection), Some(account)) => {
                self.reject(command, rejection, account, about, tentative);
            }
            (Err(_), None) => unreachable!("what is kept is kept at an account that is there"),
        }
        Ok(())
    }

    /// All of an atomic batch, or nothing. Its refusals are not kept.
    ///
    /// # Errors
    /// As [`Batch::decide_command`].
    fn decide_all(
        &mut self,
        commands: &[Command],
        ticket: &Ticket,
        tentative: &mut Tentative<'_>,
    ) -> Result<(), Option<CommandError>> {
        let beginning = Beginning {
            commands: self.commands.len(),
            undo: self.undo.len(),
            parts: self.parts.iter().map(|(shard, part)| (*shard, part.size())).collect(),
        };
        // As with a single transfer; or which command is refused would tell of payees, at no cost.
        let own_side = own_sides(commands, &ticket.origin.reach, tentative.accounts);
        if let Some(own_side) = &own_side {
            let refused = self.try_all(own_side, &ticket.origin, tentative);
            self.go_back(&beginning, tentative.accounts);
            refused.map_err(Some)?;
        }
        if let Err(refusal) = self.try_all(commands, &ticket.origin, tentative) {
            self.go_back(&beginning, tentative.accounts);
            return Err(Some(if own_side.is_some() {
                CommandError::AccessDenied
            } else {
                refusal
            }));
        }
        if !ticket.claim.take() {
            self.go_back(&beginning, tentative.accounts);
            return Err(None);
        }
        self.mark_atomic(&beginning, key_command(commands));
        Ok(())
    }

    /// Decides commands until one is refused.
    ///
    /// # Errors
    /// [`CommandError::BatchRefused`]; what was decided before is still there.
    fn try_all(
        &mut self,
        commands: &[Command],
        origin: &Origin,
        tentative: &mut Tentative<'_>,
    ) -> Result<(), CommandError> {
        let key = key_command(commands);
        for (index, command) in commands.iter().enumerate() {
            let touched = Touched::of(command, tentative);
            let decision = touched.decide(command);
            let decision =
                decision.map_err(|rejection| CommandError::BatchRefused { index, rejection })?;
            let request_id = (index == key).then_some(command.request_id);
            let about = About { request_id, is_first: true, origin };
            self.accept(command, decision, touched, about, tentative);
        }
        Ok(())
    }

    /// Makes everything what it was.
    fn go_back(&mut self, beginning: &Beginning, accounts: &mut AccountCache) {
        self.commands.truncate(beginning.commands);
        undo(self.undo.drain(beginning.undo..), accounts);
        self.parts.retain(|shard, part| match beginning.parts.get(shard) {
            Some((rows, accounts)) => {
                part.rows.truncate(*rows);
                part.accounts = *accounts;
                true
            }
            None => false,
        });
    }

    /// Lets the row with the request id of an atomic batch say where all rows are.
    fn mark_atomic(&mut self, beginning: &Beginning, key: usize) {
        let rows_before = |shard| beginning.parts.get(shard).map_or(0, |(rows, _)| *rows);
        let extents: Vec<BatchExtent> = self
            .parts
            .iter()
            .filter(|(shard, part)| part.rows.len() > rows_before(shard))
            .map(|(shard, part)| BatchExtent {
                shard: *shard,
                first: part.expected.link.position.plus(rows_before(shard) + 1),
                rows: u32::try_from(part.rows.len() - rows_before(shard))
                    .expect("a batch has at most two rows for each of its commands"),
            })
            .collect();
        let DecidedSide { shard, position, .. } = self.commands[beginning.commands + key].first;
        let part = self.parts.get_mut(&shard).expect("the command's row is in it");
        let before = usize::try_from(position.get() - part.expected.link.position.get())
            .expect("the row stands behind the head");
        part.rows[before - 1].mark_batch(&extents);
    }

    fn accept(
        &mut self,
        command: &Command,
        decision: Decision,
        touched: Touched,
        about: About<'_>,
        tentative: &mut Tentative<'_>,
    ) {
        let Touched { account, destination } = touched;
        let shard = command.account_id.shard(tentative.shards);
        let destination_shard = destination.as_ref().map(|cached| cached.shard);
        let position = self.part(shard, tentative).next();
        let peer_position = destination_shard.map(|other| match other == shard {
            true => position.plus(1),
            false => self.part(other, tentative).next(),
        });
        let peer = destination_shard.zip(peer_position);
        let account = account.unwrap_or_else(|| self.open(shard, &decision.event, tentative));
        let first = self.add(shard, account, decision.event, about, peer, tentative);
        let second = match (decision.destination_event, destination) {
            (Some(event), Some(cached)) => {
                let about = About { request_id: None, is_first: false, ..about };
                let peer = Some((shard, position));
                Some(self.add(cached.shard, cached, event, about, peer, tentative))
            }
            _ => None,
        };
        self.commands.push(DecidedCommand { first, second });
    }

    fn reject(
        &mut self,
        command: &Command,
        rejection: Rejection,
        account: CachedAccount,
        about: About<'_>,
        tentative: &mut Tentative<'_>,
    ) {
        let rejected = RejectedCommand {
            operation: command.operation.clone(),
            expected_version: command.expected_version,
            rejection,
        };
        let event = Event::CommandRejected(Box::new(rejected));
        let first = self.add(account.shard, account, event, about, None, tentative);
        self.commands.push(DecidedCommand { first, second: None });
    }

    fn part(&mut self, shard: Shard, tentative: &Tentative<'_>) -> &mut Part {
        let head = tentative.heads[shard.index()];
        self.parts.entry(shard).or_insert(Part {
            expected: head,
            accounts: head.accounts,
            rows: Vec::new(),
        })
    }

    /// The account before its opening: it gets the shard's next number, and a state when the opening is folded in.
    fn open(&mut self, shard: Shard, event: &Event, tentative: &Tentative<'_>) -> CachedAccount {
        let Event::AccountOpened { opening, .. } = event else {
            unreachable!("only an opening is decided on an account that is not there")
        };
        let part = self.part(shard, tentative);
        part.accounts += 1;
        let number = AccountNumber::new(part.accounts)
            .expect("counted from 1, and a shard holds fewer than 2^31");
        let state = evolve(None, event).expect("an opening can always be folded into nothing");
        CachedAccount {
            shard,
            account: Account { number, opening: opening.clone(), state },
            opened_at: Arc::new(OnceLock::new()),
        }
    }

    /// Adds a row, and lets the next decisions see the account as it stands after it.
    fn add(
        &mut self,
        shard: Shard,
        mut cached: CachedAccount,
        event: Event,
        about: About<'_>,
        peer: Option<(Shard, Position)>,
        tentative: &mut Tentative<'_>,
    ) -> DecidedSide {
        if !matches!(event, Event::AccountOpened { .. }) {
            cached.account.state = evolve(Some(cached.account.state), &event)
                .expect("decide allows nothing that cannot be folded");
        }
        let part = self.part(shard, tentative);
        let position = part.next();
        part.rows.push(
            EventData {
                account: cached.account.number,
                event: event.clone(),
                state: cached.account.state,
                request_id: about.request_id,
                peer,
                actor: about.origin.actor.clone(),
                trace_context: about.is_first.then(|| about.origin.trace_context.clone()).flatten(),
            }
            .into_row(),
        );
        if !matches!(event, Event::CommandRejected(_)) {
            let id = cached.account.opening.account_id.clone();
            let before = tentative.accounts.set(&id, Slot::Present(cached.clone()));
            self.undo.push((id, before));
        }
        DecidedSide { shard, position, cached, event }
    }

    /// The batch ready to be sent, behind `previous` if that has not been answered yet.
    pub(super) fn seal(self, log_id: LogId, previous: Option<AttemptMark>) -> SealedBatch {
        let Self { tickets, commands, parts, undo } = self;
        let parts = parts.into_iter().map(|(shard, Part { expected, accounts, rows })| ShardPart {
            shard,
            expected,
            accounts,
            rows,
        });
        SealedBatch {
            attempt: Attempt::new(log_id, parts.collect(), previous),
            log_id,
            tickets,
            commands,
            undo,
        }
    }
}

/// What a row says beside its event.
#[derive(Clone, Copy)]
struct About<'a> {
    request_id: Option<RequestId>,
    /// Whether it is its command's first: the trace stands only there, the actor everywhere.
    is_first: bool,
    origin: &'a Origin,
}

/// Makes accounts what they were, from the last change to the first.
fn undo(
    changes: impl DoubleEndedIterator<Item = (AccountId, Option<Slot>)>,
    accounts: &mut AccountCache,
) {
    for (id, before) in changes.rev() {
        match before {
            Some(slot) => drop(accounts.set(&id, slot)),
            None => accounts.remove(&id),
        }
    }
}

/// A batch that was sent.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) attempt: Attempt,
    log_id: LogId,
    tickets: Vec<(u64, Ticket)>,
    commands: Vec<DecidedCommand>,
    undo: Vec<(AccountId, Option<Slot>)>,
}

impl SealedBatch {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Makes the accounts what they were before the batch. Batches are undone from the last to the first.
    pub(super) fn undo(&mut self, accounts: &mut AccountCache) {
        undo(self.undo.drain(..), accounts);
    }

    /// Takes the work back, with its sequence, to decide it anew.
    pub(super) fn into_tickets(self) -> impl Iterator<Item = (u64, Ticket)> {
        self.tickets.into_iter()
    }

    /// Answers all work of a batch that is in the log, and gives the ids back for what waited for them.
    pub(super) fn answer(self, appended: &[Appended]) -> Vec<RequestId> {
        let time = |shard: Shard| {
            let part = appended.iter().find(|part| part.shard == shard);
            part.map_or(Timestamp::MIN, event_store::append::recorded_at)
        };
        let log_id = self.log_id;
        let mut decided = self.commands.into_iter();
        let mut answered = Vec::with_capacity(self.tickets.len());
        for (_, ticket) in self.tickets {
            answered.push(ticket.request_id());
            let commands = decided.by_ref().take(ticket.work.commands().len());
            let applied = commands.map(|DecidedCommand { first, second }| {
                let side = |side: DecidedSide| {
                    let recorded_at = time(side.shard);
                    side.into_side(recorded_at)
                };
                let first = side(first);
                if let Event::CommandRejected(rejected) = first.event {
                    let rejection = rejected.rejection;
                    return Err(CommandError::Rejected { rejection, replayed: false });
                }
                Ok(Applied { log_id, replayed: false, first, second: second.map(side) })
            });
            let answer = applied.collect();
            ticket.answer(answer);
        }
        answered
    }
}

impl DecidedSide {
    fn into_side(self, recorded_at: Timestamp) -> Side {
        let Self { shard, position, cached, event } = self;
        if matches!(event, Event::AccountOpened { .. }) {
            let _ = cached.opened_at.set(recorded_at);
        }
        Side {
            shard,
            position,
            recorded_at,
            opened_at: cached.opened_at.get().copied().unwrap_or(recorded_at),
            opening: cached.account.opening,
            state: cached.account.state,
            event,
            is_shown: true,
        }
    }
}

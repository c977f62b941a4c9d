//! A batch in the making: commands decided one after another, their rows, and how to undo them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use event_store::{Appended, Attempt, AttemptMark, EventData, EventRow, Head, ShardPart};
use ledger::{
    Account, AccountId, AccountNumber, Accounts, Decision, Event, LogId, Position, Rejection,
    RequestId, Shard, ShardCount, Timestamp, decide, event::RejectedCommand, evolve,
};

use super::accounts::{AccountCache, CachedAccount, Slot};
use crate::{
    answer::{Applied, CommandError, Side},
    queue::Ticket,
};

/// What became of a command when it was looked at.
pub(super) enum Decided {
    /// It is in the batch.
    InBatch,
    /// It cannot be decided before these accounts are in memory.
    Missing(Ticket, Vec<AccountId>),
    /// It is refused, and the refusal is not kept in the log.
    Refused(Ticket, Rejection),
    /// Its caller went away before it was begun.
    Abandoned(Ticket),
}

/// Commands that go to the log together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    commands: Vec<DecidedCommand>,
    parts: BTreeMap<Shard, Part>,
    undo: Vec<(AccountId, Option<Slot>)>,
}

#[derive(Debug)]
struct Part {
    expected: Head,
    accounts: i32,
    rows: Vec<EventRow>,
}

impl Part {
    /// Where the next row will stand.
    fn next(&self) -> Position {
        self.expected.link.position.plus(self.rows.len() + 1)
    }
}

#[derive(Debug)]
struct DecidedCommand {
    ticket: Ticket,
    first: DecidedSide,
    second: Option<DecidedSide>,
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

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Decides a command on the accounts as they stand after everything decided before it.
    pub(super) fn decide(&mut self, ticket: Ticket, tentative: &mut Tentative<'_>) -> Decided {
        let command = &ticket.command;
        let missing: Vec<AccountId> = [Some(&command.account_id), command.destination()]
            .into_iter()
            .flatten()
            .filter(|id| tentative.accounts.get(id).is_none())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Decided::Missing(ticket, missing);
        }
        let account = tentative.accounts.get(&command.account_id).and_then(Slot::cached).cloned();
        let destination = command
            .destination()
            .and_then(|id| tentative.accounts.get(id))
            .and_then(Slot::cached)
            .cloned();
        let accounts = Accounts {
            account: account.as_ref().map(|cached| &cached.account),
            destination: destination.as_ref().map(|cached| &cached.account),
        };
        let decision = decide(accounts, command);
        // A refusal that rests on another shard, whose head the append does not compare, is not kept.
        let elsewhere = destination.as_ref().map(|cached| cached.shard)
            != account.as_ref().map(|cached| cached.shard);
        let kept = |rejection: &Rejection| {
            let rests_elsewhere = elsewhere
                && destination.is_some()
                && matches!(rejection, Rejection::BalanceOverflow { .. });
            rejection.is_stored() && !rests_elsewhere
        };
        let stored = decision.as_ref().err().is_none_or(kept);
        if stored && !ticket.claim.take() {
            return Decided::Abandoned(ticket);
        }
        match decision {
            Ok(decision) => self.accept(ticket, decision, account, destination, tentative),
            Err(rejection) => match account {
                Some(account) if stored => self.reject(ticket, rejection, account, tentative),
                _ => Decided::Refused(ticket, rejection),
            },
        }
    }

    fn accept(
        &mut self,
        mut ticket: Ticket,
        decision: Decision,
        account: Option<CachedAccount>,
        destination: Option<CachedAccount>,
        tentative: &mut Tentative<'_>,
    ) -> Decided {
        let shard = ticket.command.account_id.shard(tentative.shards);
        let destination_shard = destination.as_ref().map(|cached| cached.shard);
        let position = self.part(shard, tentative).next();
        let peer_position = destination_shard.map(|other| match other == shard {
            true => position.plus(1),
            false => self.part(other, tentative).next(),
        });
        let peer = destination_shard.zip(peer_position);
        let account = account.unwrap_or_else(|| self.open(shard, &decision.event, tentative));
        let first = self.add(shard, account, decision.event, Some(&ticket), peer, tentative);
        let second = match (decision.destination_event, destination) {
            (Some(event), Some(cached)) => Some(self.add(
                cached.shard,
                cached,
                event,
                None,
                Some((shard, position)),
                tentative,
            )),
            _ => None,
        };
        ticket.leave_place();
        self.commands.push(DecidedCommand { ticket, first, second });
        Decided::InBatch
    }

    fn reject(
        &mut self,
        mut ticket: Ticket,
        rejection: Rejection,
        account: CachedAccount,
        tentative: &mut Tentative<'_>,
    ) -> Decided {
        let rejected = RejectedCommand {
            operation: ticket.command.operation.clone(),
            expected_version: ticket.command.expected_version,
            rejection,
        };
        let event = Event::CommandRejected(Box::new(rejected));
        let first = self.add(account.shard, account, event, Some(&ticket), None, tentative);
        ticket.leave_place();
        self.commands.push(DecidedCommand { ticket, first, second: None });
        Decided::InBatch
    }

    fn part(&mut self, shard: Shard, tentative: &Tentative<'_>) -> &mut Part {
        let head = tentative.heads[usize::from(shard.get().unsigned_abs())];
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
        ticket: Option<&Ticket>,
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
                request_id: ticket.map(|ticket| ticket.command.request_id),
                peer,
                actor: ticket.and_then(|ticket| ticket.actor.clone()),
                trace_context: ticket.and_then(|ticket| ticket.trace_context.clone()),
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
        let Self { commands, parts, undo } = self;
        let parts = parts.into_iter().map(|(shard, Part { expected, accounts, rows })| ShardPart {
            shard,
            expected,
            accounts,
            rows,
        });
        SealedBatch {
            attempt: Attempt::new(log_id, parts.collect(), previous),
            log_id,
            commands,
            undo,
        }
    }
}

/// A batch that was sent.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) attempt: Attempt,
    log_id: LogId,
    commands: Vec<DecidedCommand>,
    undo: Vec<(AccountId, Option<Slot>)>,
}

impl SealedBatch {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Makes the accounts what they were before the batch. Batches are undone from the last to the first.
    pub(super) fn undo(&mut self, accounts: &mut AccountCache) {
        for (id, before) in self.undo.drain(..).rev() {
            match before {
                Some(slot) => drop(accounts.set(&id, slot)),
                None => accounts.remove(&id),
            }
        }
    }

    /// Takes the commands back, in order, to decide them anew.
    pub(super) fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        self.commands.into_iter().map(|command| command.ticket)
    }

    /// Answers every command of a batch that is in the log, and gives their ids back for what waited for them.
    pub(super) fn answer(self, appended: &[Appended]) -> Vec<RequestId> {
        let time = |shard: Shard| {
            let part = appended.iter().find(|part| part.shard == shard);
            part.map_or(Timestamp::MIN, event_store::append::recorded_at)
        };
        let log_id = self.log_id;
        let mut answered = Vec::with_capacity(self.commands.len());
        for DecidedCommand { ticket, first, second } in self.commands {
            let request_id = ticket.command.request_id;
            let recorded_at = time(first.shard);
            let first = first.into_side(recorded_at);
            if let Event::CommandRejected(rejected) = first.event {
                answered.push(request_id);
                ticket.answer(Err(CommandError::Rejected {
                    rejection: rejected.rejection,
                    replayed: false,
                }));
                continue;
            }
            let second = second.map(|side| {
                let recorded_at = time(side.shard);
                side.into_side(recorded_at)
            });
            answered.push(request_id);
            ticket.answer(Ok(Applied { log_id, replayed: false, first, second }));
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
        }
    }
}

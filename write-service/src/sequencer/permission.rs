//! Whether callers may do what they want done, as soon as their accounts are known.
//!
//! Asked before everything else, the request id included: who has no right to an account learns nothing of it, neither that it
//! exists nor what became of somebody's command. It is asked anew with every decision, because an account that was about to be
//! opened may turn out to be somebody else's; and once more where a stored outcome is told, against the stored account.

use std::collections::HashSet;

use access::Reach;
use ledger::{AccountId, Command, Movement, Operation, OwnerId, Rejection, ShardCount, Transfer};

use super::{
    Pending, Sequencer,
    accounts::{AccountCache, Slot},
    batch::Tentative,
};

/// What is known of a caller's right to what it wants done.
pub(super) enum Asked {
    Permitted(Pending),
    Denied(Pending),
    /// It will be known later.
    SetAside,
}

impl Sequencer {
    /// Asks whether the caller may do this.
    pub(super) fn authorise(&mut self, pending: Pending, shards: ShardCount) -> Asked {
        if pending.ticket.origin.reach.is_everything() {
            return Asked::Permitted(pending);
        }
        let mut tentative =
            Tentative { shards, accounts: &mut self.accounts, heads: &self.tentative };
        let missing = tentative.missing(&pending.ticket.work);
        if !missing.is_empty() {
            self.load(pending, missing);
            return Asked::SetAside;
        }
        let (commands, reach) = (pending.ticket.work.commands(), &pending.ticket.origin.reach);
        if are_permitted(commands, reach, &mut self.accounts) {
            return Asked::Permitted(pending);
        }
        // The command before it may open its account.
        if self.lanes.is_behind(pending.sequence, &pending.ticket) {
            self.lanes.wait_behind(pending);
            return Asked::SetAside;
        }
        // One that is in memory is asked for all the same: what others use must not be denied faster than what nobody has.
        if !pending.ticket.was_loaded {
            let ids = commands.iter().map(|command| command.account_id.clone()).collect();
            self.load(pending, ids);
            return Asked::SetAside;
        }
        Asked::Denied(pending)
    }

    /// Sets work aside until these accounts were read.
    pub(super) fn load(&mut self, mut pending: Pending, ids: Vec<AccountId>) {
        pending.ticket.was_loaded = true;
        self.lanes.set_aside(pending.sequence, &pending.ticket);
        self.loads.add(pending, ids);
    }
}

/// Whether commands, decided in this order, are all on accounts within reach. Those that an earlier one opens count.
fn are_permitted(commands: &[Command], reach: &Reach, accounts: &mut AccountCache) -> bool {
    let mut opened = HashSet::new();
    commands.iter().all(|command| {
        let id = &command.account_id;
        match (&command.operation, accounts.get(id).and_then(Slot::cached)) {
            (_, Some(cached)) => reach.includes(&cached.account.opening),
            (Operation::OpenAccount { opening, .. }, None) => {
                opened.insert(id);
                let owner_id = opening.owner_id.as_ref().map_or("", OwnerId::as_str);
                reach.may_open(id.as_str(), owner_id)
            }
            (_, None) => opened.contains(id),
        }
    })
}

/// What a transfer is to its source alone; nothing for any other command.
pub(super) fn own_side(command: &Command) -> Option<Command> {
    let Operation::Transfer(transfer) = &command.operation else { return None };
    let Transfer { money, reference, effective_at, .. } = transfer.clone();
    let movement = Movement { money, reference, counterparty: None, effective_at };
    Some(Command { operation: Operation::Withdraw(movement), ..command.clone() })
}

/// The commands as they are to their caller's own accounts, if some pay others: see `Touched::decide_for`.
pub(super) fn own_sides(
    commands: &[Command],
    reach: &Reach,
    accounts: &mut AccountCache,
) -> Option<Vec<Command>> {
    if reach.is_everything() {
        return None;
    }
    let mut opened = HashSet::new();
    let mut pays_others = false;
    let own_sides = commands.iter().map(|command| {
        if matches!(command.operation, Operation::OpenAccount { .. }) {
            opened.insert(&command.account_id);
        }
        let is_own = |id: &AccountId| match accounts.get(id).and_then(Slot::cached) {
            Some(payee) => reach.includes(&payee.account.opening),
            None => opened.contains(id),
        };
        if command.destination().is_none_or(is_own) {
            return command.clone();
        }
        pays_others = true;
        own_side(command).unwrap_or_else(|| command.clone())
    });
    let own_sides = own_sides.collect();
    pays_others.then_some(own_sides)
}

/// Whether a refusal of a command speaks of the payee.
pub(crate) fn is_about_payee(rejection: &Rejection, command: &Command) -> bool {
    let Some(payee) = command.destination() else { return false };
    match rejection {
        Rejection::AccountNotFound { account_id }
        | Rejection::AccountClosed { account_id }
        | Rejection::AccountFrozen { account_id }
        | Rejection::AccountNotFrozen { account_id }
        | Rejection::CurrencyMismatch { account_id, .. }
        | Rejection::AccountAlreadyExists { account_id } => account_id == payee,
        Rejection::BalanceOverflow { .. } => true,
        Rejection::VersionConflict { .. }
        | Rejection::InsufficientFunds { .. }
        | Rejection::BalanceNotZero { .. }
        | Rejection::HoldsOpen { .. }
        | Rejection::LimitAboveBalance { .. } => false,
    }
}

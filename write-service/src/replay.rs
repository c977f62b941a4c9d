//! Whether work is the same that the log has under its request id, and then what it was answered with.

use std::collections::BTreeMap;

use event_store::{StoredOutcome, writer::StoredSide};
use ledger::{
    Command, Event, LogId, Money, Movement, Opening, Operation, Shard, ShardCount, Transfer,
    event::{Entry, RejectedCommand, TransferEntry},
};

use crate::{
    answer::{Answer, Applied, CommandError},
    queue::Work,
};

/// The answer that the log has for this work.
///
/// # Errors
/// The stored refusal; or [`CommandError::RequestIdReused`] when what is stored is something else.
pub(crate) fn stored_answer(
    work: &Work,
    stored: &StoredOutcome,
    (log_id, shards): (LogId, ShardCount),
    replayed: bool,
) -> Answer {
    match (work, stored) {
        (Work::Command(command), StoredOutcome::Command { first, second })
            if is_same_command(command, first) =>
        {
            Ok(vec![Applied::from_stored(log_id, first.clone(), second.clone(), replayed)?])
        }
        (Work::Atomic(commands), StoredOutcome::Batch(sides)) => {
            let pairs = pair(commands, sides, shards).ok_or(CommandError::RequestIdReused)?;
            let applied = pairs.into_iter().map(|(first, second)| {
                Applied::from_stored(log_id, first.clone(), second.cloned(), replayed)
            });
            applied.collect()
        }
        _ => Err(CommandError::RequestIdReused),
    }
}

/// The events of an atomic batch, command by command; nothing if they are not these commands'.
fn pair<'a>(
    commands: &[Command],
    sides: &'a BTreeMap<Shard, Vec<StoredSide>>,
    shards: ShardCount,
) -> Option<Vec<(&'a StoredSide, Option<&'a StoredSide>)>> {
    let mut left: BTreeMap<_, _> =
        sides.iter().map(|(shard, sides)| (*shard, sides.iter())).collect();
    let mut pairs = Vec::with_capacity(commands.len());
    for command in commands {
        let first = left.get_mut(&command.account_id.shard(shards))?.next()?;
        if !is_same_command(command, first) {
            return None;
        }
        let second = match command.destination() {
            Some(destination) => Some(left.get_mut(&destination.shard(shards))?.next()?),
            None => None,
        };
        pairs.push((first, second));
    }
    left.values_mut().all(|rest| rest.next().is_none()).then_some(pairs)
}

/// Compares all that is stored of a command. Not stored, and so not compared: that no version was expected by a command
/// that was accepted.
fn is_same_command(command: &Command, stored: &StoredSide) -> bool {
    let opening = &stored.account.opening;
    if opening.account_id != command.account_id {
        return false;
    }
    if let Event::CommandRejected(rejected) = &stored.event.event {
        let RejectedCommand { operation, expected_version, .. } = &**rejected;
        return *operation == command.operation && *expected_version == command.expected_version;
    }
    let version_after = stored.event.state.version;
    let version_fits =
        command.expected_version.is_none_or(|expected| expected.next() == version_after);
    version_fits && operation_of(&stored.event.event, opening).as_ref() == Some(&command.operation)
}

/// The operation that an event came from.
fn operation_of(event: &Event, opening: &Opening) -> Option<Operation> {
    let movement = |entry: &Entry| {
        let Entry { amount, reference, counterparty, effective_at } = entry.clone();
        let money = Money { amount, currency: opening.currency };
        Movement { money, reference, counterparty, effective_at }
    };
    Some(match event {
        Event::AccountOpened { opening, overdraft_limit } => {
            Operation::OpenAccount { opening: opening.clone(), overdraft_limit: *overdraft_limit }
        }
        Event::MoneyDeposited(entry) => Operation::Deposit(movement(entry)),
        Event::MoneyWithdrawn(entry) => Operation::Withdraw(movement(entry)),
        Event::BillPaid(entry) => Operation::PayBill(movement(entry)),
        Event::TransferSent(TransferEntry { amount, reference, peer, effective_at }) => {
            Operation::Transfer(Transfer {
                destination: peer.clone(),
                money: Money { amount: *amount, currency: opening.currency },
                reference: reference.clone(),
                effective_at: *effective_at,
            })
        }
        Event::OverdraftLimitSet { overdraft_limit } => {
            Operation::SetOverdraftLimit { overdraft_limit: *overdraft_limit }
        }
        Event::AccountFrozen => Operation::FreezeAccount,
        Event::AccountUnfrozen => Operation::UnfreezeAccount,
        Event::AccountClosed => Operation::CloseAccount,
        // Never the first event of a command, or handled by the caller.
        Event::TransferReceived(_) | Event::CommandRejected(_) => return None,
    })
}

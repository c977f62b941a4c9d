//! Whether work is the same that the log has under its request id, and then what it was answered with.

use std::collections::BTreeMap;

use access::Reach;
use event_store::{StoredOutcome, writer::StoredSide};
use ledger::{
    AccountId, Command, Event, LogId, Money, Movement, Opening, Operation, Shard, ShardCount,
    Transfer,
    event::{Entry, RejectedCommand, TransferEntry},
};

use crate::{
    answer::{Answer, Applied, CommandError},
    queue::Work,
    sequencer::permission::is_about_payee,
};

/// Who is told an answer.
pub(crate) struct Told<'a, S> {
    pub(crate) reach: &'a Reach,
    /// Whether an account is known to be the caller's business.
    pub(crate) sees: S,
}

/// The answer that the log has for this work, as far as its caller may be told.
///
/// # Errors
/// The stored refusal; [`CommandError::RequestIdReused`] when what is stored is something else; or
/// [`CommandError::AccessDenied`], also for a refusal that speaks of a payee who is none of the caller's business.
pub(crate) fn stored_answer(
    work: &Work,
    stored: &StoredOutcome,
    (log_id, shards): (LogId, ShardCount),
    replayed: bool,
    told: Told<'_, impl FnMut(&AccountId) -> bool>,
) -> Answer {
    let Told { reach, mut sees } = told;
    match (work, stored) {
        (Work::Command(command), StoredOutcome::Command { first, .. })
            if first.account.opening.account_id == command.account_id
                && !reach.includes(&first.account.opening) =>
        {
            Err(CommandError::AccessDenied)
        }
        (Work::Command(command), StoredOutcome::Command { first, second })
            if is_same_command(command, first) =>
        {
            let applied = Applied::from_stored(log_id, first.clone(), second.clone(), replayed);
            match applied {
                Err(CommandError::Rejected { rejection, .. })
                    if !reach.is_everything()
                        && is_about_payee(&rejection, command)
                        && !command.destination().is_some_and(&mut sees) =>
                {
                    Err(CommandError::AccessDenied)
                }
                applied => Ok(vec![applied?]),
            }
        }
        (Work::Atomic(commands), StoredOutcome::Batch(sides)) => {
            let pairs = pair(commands, sides, shards).ok_or(CommandError::RequestIdReused)?;
            if pairs.iter().any(|(first, _)| !reach.includes(&first.account.opening)) {
                return Err(CommandError::AccessDenied);
            }
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
        // In another order, commands of several shards may fit one by one, and not together.
        if first.event.peer != second.map(|second| (second.event.shard, second.event.position)) {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use event_store::{OpenedAccount, RecordedEvent};
    use ledger::{
        AccountNumber, AccountState, Amount, Currency, OwnerId, Position, Rejection, RequestId,
        Status, StreamVersion, Timestamp,
    };
    use uuid::Uuid;

    use super::*;

    const LOG_ID: LogId = LogId(Uuid::from_u128(1));

    fn id(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    fn of_owner(owner: &str) -> Reach {
        Reach::of(&[], &[OwnerId::new(owner).unwrap()])
    }

    fn transfer(amount: i64) -> Command {
        let currency = Currency::new("EUR").unwrap();
        let money = Money { amount: Amount::new(amount).unwrap(), currency };
        let (destination, reference) = (id("theirs"), None);
        Command {
            request_id: RequestId::new(Uuid::from_u128(7)).unwrap(),
            account_id: id("mine"),
            expected_version: None,
            operation: Operation::Transfer(Transfer {
                destination,
                money,
                reference,
                effective_at: None,
            }),
        }
    }

    fn at_mine(event: Event) -> StoredSide {
        at(id("mine"), event)
    }

    fn at(account_id: AccountId, event: Event) -> StoredSide {
        let opening = Opening {
            account_id,
            owner_id: Some(OwnerId::new("acme").unwrap()),
            currency: Currency::new("EUR").unwrap(),
            labels: BTreeMap::new(),
        };
        let version = StreamVersion::new(2).unwrap();
        let (balance, held, overdraft_limit) = (93, 0, 0);
        let event = RecordedEvent {
            shard: Shard::ZERO,
            position: Position::new(3).unwrap(),
            recorded_at: Timestamp::MIN,
            account: AccountNumber::new(1).unwrap(),
            event,
            state: AccountState { version, balance, held, overdraft_limit, status: Status::Open },
            request_id: RequestId::new(Uuid::from_u128(7)),
            peer: None,
        };
        let account = OpenedAccount { opening: Arc::new(opening), opened_at: Timestamp::MIN };
        StoredSide { event, account }
    }

    fn sent(amount: i64) -> StoredSide {
        let amount = Amount::new(amount).unwrap();
        let (reference, peer) = (None, id("theirs"));
        at_mine(Event::TransferSent(TransferEntry { amount, reference, peer, effective_at: None }))
    }

    fn refused(rejection: Rejection) -> StoredSide {
        let operation = transfer(7).operation;
        let rejected = RejectedCommand { operation, expected_version: None, rejection };
        at_mine(Event::CommandRejected(Box::new(rejected)))
    }

    fn told(reach: &Reach, command: Command, first: &StoredSide, sees: bool) -> Answer {
        let stored = StoredOutcome::Command { first: first.clone(), second: None };
        let told = Told { reach, sees: |_: &AccountId| sees };
        let log = (LOG_ID, ShardCount::ONE);
        stored_answer(&Work::Command(command), &stored, log, true, told)
    }

    #[test]
    fn what_is_stored_is_told_only_to_whose_business_it_is() {
        for first in [sent(7), refused(Rejection::BalanceNotZero { balance: 93 })] {
            for command in [transfer(7), transfer(8)] {
                let answer = told(&of_owner("shop"), command.clone(), &first, true);
                assert!(matches!(answer, Err(CommandError::AccessDenied)), "{answer:?}");
                let answer = told(&of_owner("acme"), command, &first, false);
                assert!(!matches!(answer, Err(CommandError::AccessDenied)), "{answer:?}");
            }
        }
        let reused = told(&of_owner("acme"), transfer(8), &sent(7), false);
        assert!(matches!(reused, Err(CommandError::RequestIdReused)));
    }

    #[test]
    fn of_an_atomic_batch_every_account_must_be_the_callers_business() {
        let commands = Work::Atomic(vec![transfer(7)]);
        let (mut first, received) = (sent(7), sent(7)); // the second stands for the other side, of which only the place is looked at
        first.event.peer = Some((Shard::ZERO, received.event.position));
        let sides = BTreeMap::from([(Shard::ZERO, vec![first, received])]);
        let stored = StoredOutcome::Batch(sides);
        for (owner, is_told) in [("acme", true), ("shop", false)] {
            let reach = &of_owner(owner);
            let told = Told { reach, sees: |_: &AccountId| true };
            let answer = stored_answer(&commands, &stored, (LOG_ID, ShardCount::ONE), true, told);
            assert_eq!(answer.is_ok(), is_told, "{answer:?}");
        }
    }

    #[test]
    fn of_an_atomic_batch_in_another_order_no_transfer_is_answered_with_anothers_other_side() {
        let shards = ShardCount::new(4).unwrap();
        let in_shard = |number: i16| {
            let mut ids = (0..).map(|n| id(&format!("account-{n}")));
            ids.find(|id| id.shard(shards).get() == number).unwrap()
        };
        let payee_shard = Shard::new(2).unwrap();
        let mut sides: BTreeMap<Shard, Vec<StoredSide>> = BTreeMap::new();
        let mut commands = Vec::new();
        for (payer_shard, payee) in [(0, "x"), (1, "y")] {
            let payer = in_shard(payer_shard);
            let mut payees = (0..).map(|n| id(&format!("{payee}-{n}")));
            let payee = payees.find(|id| id.shard(shards) == payee_shard).unwrap();
            let mut command = transfer(7);
            command.account_id = payer.clone();
            let Operation::Transfer(to) = &mut command.operation else { unreachable!() };
            to.destination = payee.clone();
            let entry = |peer| TransferEntry {
                amount: Amount::new(7).unwrap(),
                reference: None,
                peer,
                effective_at: None,
            };
            let mut sent = at(payer.clone(), Event::TransferSent(entry(payee.clone())));
            let mut received = at(payee, Event::TransferReceived(entry(payer.clone())));
            let received_before = sides.entry(payee_shard).or_default();
            received.event.shard = payee_shard;
            received.event.position = Position::ZERO.plus(received_before.len() + 1);
            sent.event.peer = Some((payee_shard, received.event.position));
            received_before.push(received);
            sides.entry(payer.shard(shards)).or_default().push(sent);
            commands.push(command);
        }
        let stored = StoredOutcome::Batch(sides);
        let answer = |commands: &[Command]| {
            let told = Told { reach: &Reach::everything(), sees: |_: &AccountId| true };
            stored_answer(&Work::Atomic(commands.to_vec()), &stored, (LOG_ID, shards), true, told)
        };
        assert_eq!(answer(&commands).unwrap().len(), 2);
        commands.reverse();
        let reordered = answer(&commands);
        assert!(matches!(reordered, Err(CommandError::RequestIdReused)), "{reordered:?}");
    }

    #[test]
    fn a_refusal_that_speaks_of_the_payee_is_told_to_who_sees_the_payee() {
        let closed = |account: &str| Rejection::AccountClosed { account_id: id(account) };
        let overflow = Rejection::BalanceOverflow { balance: 5_000, requested: 7 };
        for (rejection, is_about_payee) in
            [(closed("theirs"), true), (closed("mine"), false), (overflow, true)]
        {
            let first = refused(rejection);
            for (reach, sees, is_told) in [
                (Reach::everything(), false, true),
                (of_owner("acme"), true, true),
                (of_owner("acme"), false, !is_about_payee),
            ] {
                let answer = told(&reach, transfer(7), &first, sees);
                let is_refusal = matches!(answer, Err(CommandError::Rejected { .. }));
                assert_eq!(is_refusal, is_told, "{answer:?}");
            }
        }
    }
}

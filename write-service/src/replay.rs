//! Whether a command is the one that the log has under its request id.

use event_store::StoredOutcome;
use ledger::{
    Command, Event, Money, Movement, Opening, Operation, Transfer,
    event::{Entry, RejectedCommand, TransferEntry},
};

/// Compares all that is stored of a command. Not stored, and so not compared: that no version was expected by a command
/// that was accepted.
pub(crate) fn is_same_command(command: &Command, stored: &StoredOutcome) -> bool {
    let opening = &stored.first.account.opening;
    if opening.account_id != command.account_id {
        return false;
    }
    if let Event::CommandRejected(rejected) = &stored.first.event.event {
        let RejectedCommand { operation, expected_version, .. } = &**rejected;
        return *operation == command.operation && *expected_version == command.expected_version;
    }
    let version_after = stored.first.event.state.version;
    let version_fits =
        command.expected_version.is_none_or(|expected| expected.next() == version_after);
    version_fits
        && operation_of(&stored.first.event.event, opening).as_ref() == Some(&command.operation)
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

//! Folding: how an account stands after one more event.

use crate::{AccountState, Event, Status, StreamVersion};

/// An event that cannot follow the state it was applied to. In a log that means corruption.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleEvent {
    /// The first event is not an opening, or an opening is not the first.
    #[error("an account begins with its opening and is opened once")]
    OutOfOrder,
    /// The balance does not fit.
    #[error("the balance leaves the range of a 64-bit number")]
    Overflow,
}

/// The state after `event`. It does not ask whether the event should have been allowed: it has already happened.
///
/// # Errors
/// [`ImpossibleEvent`] when the event cannot follow `state`; the log is then corrupt, and nobody may go on.
pub fn evolve(state: Option<AccountState>, event: &Event) -> Result<AccountState, ImpossibleEvent> {
    let Some(state) = state else {
        return match event {
            Event::AccountOpened { overdraft_limit, .. } => Ok(AccountState {
                version: StreamVersion::FIRST,
                balance: 0,
                held: 0,
                overdraft_limit: *overdraft_limit,
                status: Status::Open,
            }),
            _ => Err(ImpossibleEvent::OutOfOrder),
        };
    };
    if let Event::CommandRejected(_) = event {
        return Ok(state); // a refusal is kept, but nothing happened to the account
    }
    let next = AccountState { version: state.version.next(), ..state };
    let balance = |sum: Option<i64>| sum.ok_or(ImpossibleEvent::Overflow);
    match event {
        Event::AccountOpened { .. } => Err(ImpossibleEvent::OutOfOrder),
        Event::MoneyDeposited(entry) => {
            let balance = balance(state.balance.checked_add(entry.amount.minor_units()))?;
            Ok(AccountState { balance, ..next })
        }
        Event::TransferReceived(entry) => {
            let balance = balance(state.balance.checked_add(entry.amount.minor_units()))?;
            Ok(AccountState { balance, ..next })
        }
        Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
            let balance = balance(state.balance.checked_sub(entry.amount.minor_units()))?;
            Ok(AccountState { balance, ..next })
        }
        Event::TransferSent(entry) => {
            let balance = balance(state.balance.checked_sub(entry.amount.minor_units()))?;
            Ok(AccountState { balance, ..next })
        }
        Event::OverdraftLimitSet { overdraft_limit } => {
            Ok(AccountState { overdraft_limit: *overdraft_limit, ..next })
        }
        Event::AccountFrozen => Ok(AccountState { status: Status::Frozen, ..next }),
        Event::AccountUnfrozen => Ok(AccountState { status: Status::Open, ..next }),
        Event::AccountClosed => Ok(AccountState { status: Status::Closed, ..next }),
        Event::CommandRejected(_) => Ok(state),
    }
}

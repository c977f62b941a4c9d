//! Deciding: what a command does to the accounts it touches, or why it does nothing.

use crate::{
    Account, AccountState, Command, Event, Money, Movement, Operation, Rejection, Status, Transfer,
    event::{Entry, TransferEntry},
};

/// The accounts a command touches, as they stand. `None` is an account that does not exist.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    /// The command's account; for a transfer, the source.
    pub account: Option<&'a Account>,
    /// The destination of a transfer; otherwise `None`.
    pub destination: Option<&'a Account>,
}

/// What happens: one event at the command's account, and for a transfer one at the destination too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// At the command's account.
    pub event: Event,
    /// At the destination of a transfer.
    pub destination_event: Option<Event>,
}

impl From<Event> for Decision {
    fn from(event: Event) -> Self {
        Self { event, destination_event: None }
    }
}

/// Decides a command. No clock, no database, no `async`: the same accounts and command always get the same answer.
///
/// # Errors
/// The [`Rejection`] by the first rule that is broken, in the order: existence, version, status, currency, amounts.
pub fn decide(accounts: Accounts<'_>, command: &Command) -> Result<Decision, Rejection> {
    if let Operation::OpenAccount { opening, overdraft_limit } = &command.operation {
        return match accounts.account {
            Some(_) => {
                Err(Rejection::AccountAlreadyExists { account_id: command.account_id.clone() })
            }
            None => Ok(Event::AccountOpened {
                opening: opening.clone(),
                overdraft_limit: *overdraft_limit,
            }
            .into()),
        };
    }
    let account = accounts.account.ok_or_else(|| not_found(&command.account_id))?;
    let destination = match command.destination() {
        Some(id) => Some(accounts.destination.ok_or_else(|| not_found(id))?),
        None => None,
    };
    check_version(account, command)?;
    check_not_closed(account)?;
    match &command.operation {
        Operation::OpenAccount { .. } => unreachable!("answered above"),
        Operation::Deposit(movement) => {
            check_credit(account, movement.money)?;
            Ok(Event::MoneyDeposited(entry(movement)).into())
        }
        Operation::Withdraw(movement) => {
            check_debit(account, movement.money)?;
            Ok(Event::MoneyWithdrawn(entry(movement)).into())
        }
        Operation::PayBill(movement) => {
            check_debit(account, movement.money)?;
            Ok(Event::BillPaid(entry(movement)).into())
        }
        Operation::Transfer(transfer) => decide_transfer(account, destination, transfer),
        Operation::SetOverdraftLimit { overdraft_limit } => {
            let state = AccountState { overdraft_limit: *overdraft_limit, ..account.state };
            if !state.keeps_limit() {
                return Err(Rejection::LimitAboveBalance {
                    available: state.available(),
                    requested: *overdraft_limit,
                });
            }
            Ok(Event::OverdraftLimitSet { overdraft_limit: *overdraft_limit }.into())
        }
        Operation::FreezeAccount => match account.state.status {
            Status::Frozen => Err(Rejection::AccountFrozen { account_id: account_id(account) }),
            Status::Open | Status::Closed => Ok(Event::AccountFrozen.into()),
        },
        Operation::UnfreezeAccount => match account.state.status {
            Status::Frozen => Ok(Event::AccountUnfrozen.into()),
            Status::Open | Status::Closed => {
                Err(Rejection::AccountNotFrozen { account_id: account_id(account) })
            }
        },
        Operation::CloseAccount => {
            if account.state.held != 0 {
                return Err(Rejection::HoldsOpen { held: account.state.held });
            }
            if account.state.balance != 0 {
                return Err(Rejection::BalanceNotZero { balance: account.state.balance });
            }
            Ok(Event::AccountClosed.into())
        }
    }
}

/// Whether [`decide`] could have given this event to an account that stood so.
///
/// For whoever audits a log, in which there are events and no commands any more.
/// The limit and currencies are not in it: one is told by the state after the event
/// ([`AccountState::keeps_limit`]), and the other by both accounts.
#[must_use]
pub fn could_follow(before: &AccountState, event: &Event) -> bool {
    match (event, before.status) {
        (Event::CommandRejected(_), _) => true,
        (Event::AccountOpened { .. }, _) | (_, Status::Closed) => false,
        (
            Event::MoneyDeposited(_) | Event::TransferReceived(_) | Event::OverdraftLimitSet { .. },
            Status::Open | Status::Frozen,
        ) => true,
        (
            Event::MoneyWithdrawn(_)
            | Event::BillPaid(_)
            | Event::TransferSent(_)
            | Event::AccountFrozen,
            status,
        ) => status == Status::Open,
        (Event::AccountUnfrozen, status) => status == Status::Frozen,
        (Event::AccountClosed, Status::Open | Status::Frozen) => {
            before.balance == 0 && before.held == 0
        }
    }
}

fn decide_transfer(
    source: &Account,
    destination: Option<&Account>,
    transfer: &Transfer,
) -> Result<Decision, Rejection> {
    let destination = destination.ok_or_else(|| not_found(&transfer.destination))?;
    check_not_closed(destination)?;
    check_not_frozen(source)?;
    check_currency(source, transfer.money)?;
    check_currency(destination, transfer.money)?;
    check_covered(source, transfer.money)?;
    check_room(destination, transfer.money)?;
    let side = |peer: &Account| TransferEntry {
        amount: transfer.money.amount,
        reference: transfer.reference.clone(),
        peer: account_id(peer),
        effective_at: transfer.effective_at,
    };
    Ok(Decision {
        event: Event::TransferSent(side(destination)),
        destination_event: Some(Event::TransferReceived(side(source))),
    })
}

fn check_version(account: &Account, command: &Command) -> Result<(), Rejection> {
    let current = account.state.version;
    match command.expected_version {
        Some(expected) if expected != current => {
            Err(Rejection::VersionConflict { expected, current })
        }
        _ => Ok(()),
    }
}

fn check_not_closed(account: &Account) -> Result<(), Rejection> {
    match account.state.status {
        Status::Closed => Err(Rejection::AccountClosed { account_id: account_id(account) }),
        Status::Open | Status::Frozen => Ok(()),
    }
}

fn check_not_frozen(account: &Account) -> Result<(), Rejection> {
    match account.state.status {
        Status::Frozen => Err(Rejection::AccountFrozen { account_id: account_id(account) }),
        Status::Open | Status::Closed => Ok(()),
    }
}

fn check_currency(account: &Account, money: Money) -> Result<(), Rejection> {
    let held = account.opening.currency;
    if held == money.currency {
        return Ok(());
    }
    Err(Rejection::CurrencyMismatch {
        account_id: account_id(account),
        held,
        requested: money.currency,
    })
}

fn check_credit(account: &Account, money: Money) -> Result<(), Rejection> {
    check_currency(account, money)?;
    check_room(account, money)
}

fn check_debit(account: &Account, money: Money) -> Result<(), Rejection> {
    check_not_frozen(account)?;
    check_currency(account, money)?;
    check_covered(account, money)
}

fn check_room(account: &Account, money: Money) -> Result<(), Rejection> {
    let requested = money.amount.minor_units();
    match account.state.balance.checked_add(requested) {
        Some(_) => Ok(()),
        None => Err(Rejection::BalanceOverflow { balance: account.state.balance, requested }),
    }
}

fn check_covered(account: &Account, money: Money) -> Result<(), Rejection> {
    let requested = money.amount.minor_units();
    let after = account.state.balance.checked_sub(requested);
    let covered =
        after.is_some_and(|balance| AccountState { balance, ..account.state }.keeps_limit());
    if covered {
        return Ok(());
    }
    Err(Rejection::InsufficientFunds {
        available: account.state.available(),
        overdraft_limit: account.state.overdraft_limit,
        requested,
    })
}

fn not_found(account_id: &crate::AccountId) -> Rejection {
    Rejection::AccountNotFound { account_id: account_id.clone() }
}

fn account_id(account: &Account) -> crate::AccountId {
    account.opening.account_id.clone()
}

fn entry(movement: &Movement) -> Entry {
    Entry {
        amount: movement.money.amount,
        reference: movement.reference.clone(),
        counterparty: movement.counterparty.clone(),
        effective_at: movement.effective_at,
    }
}

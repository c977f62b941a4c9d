//! From answers to response messages.

use std::collections::BTreeMap;

use ledger::{
    Amount, ConsistencyToken, Currency, Event, Opening, Status, Text, Timestamp, TransactionId,
    event::{Entry, TransferEntry},
};
use prost_types::Timestamp as WireTimestamp;
use proto::{types, write};

use crate::answer::{Applied, Side};

/// A response message of a command.
pub(crate) trait FromApplied {
    /// The message for a command that is in the log.
    fn from_applied(applied: Applied, labels: Labels) -> Self;
}

/// Whether accounts are answered with their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    Shown,
    LeftOut,
}

macro_rules! account_response {
    ($($message:ident),*) => {$(
        impl FromApplied for write::$message {
            fn from_applied(applied: Applied, labels: Labels) -> Self {
                Self { write: Some(metadata(&applied)), account: Some(account(&applied.first, labels)) }
            }
        }
    )*};
}

macro_rules! movement_response {
    ($($message:ident),*) => {$(
        impl FromApplied for write::$message {
            fn from_applied(applied: Applied, labels: Labels) -> Self {
                Self {
                    write: Some(metadata(&applied)),
                    account: Some(account(&applied.first, labels)),
                    transaction: transaction(&applied.first),
                }
            }
        }
    )*};
}

account_response!(
    OpenAccountResponse,
    SetOverdraftLimitResponse,
    FreezeAccountResponse,
    UnfreezeAccountResponse,
    CloseAccountResponse
);
movement_response!(DepositResponse, WithdrawResponse, PayBillResponse);

impl FromApplied for write::TransferResponse {
    fn from_applied(applied: Applied, labels: Labels) -> Self {
        Self {
            write: Some(metadata(&applied)),
            source_account: Some(account(&applied.first, labels)),
            destination_account: applied
                .second
                .as_ref()
                .filter(|side| side.is_shown)
                .map(|side| account(side, labels)),
            transaction: transaction(&applied.first),
        }
    }
}

fn metadata(applied: &Applied) -> write::WriteMetadata {
    let Applied { first, replayed, .. } = applied;
    write::WriteMetadata {
        consistency_token: token(std::slice::from_ref(applied)).unwrap_or_default(),
        position: first.position.get(),
        commit_time: Some(time(first.recorded_at)),
        replayed: *replayed,
    }
}

/// The token of everything that was applied; nothing if nothing was, or not in one log: then each has its own.
pub(crate) fn token(applied: &[Applied]) -> Option<String> {
    let log_id = applied.first()?.log_id;
    let mut sides = applied
        .iter()
        .flat_map(|applied| [Some(&applied.first), applied.second.as_ref()])
        .flatten();
    let first = sides.next()?;
    let mut token = ConsistencyToken::at(log_id, first.shard, first.position);
    sides.for_each(|side| token.include(side.shard, side.position));
    applied.iter().all(|applied| applied.log_id == log_id).then(|| token.to_string())
}

fn account(side: &Side, shown: Labels) -> types::Account {
    let Opening { account_id, owner_id, currency, labels } = &*side.opening;
    let available = side.state.balance.saturating_sub(side.state.held);
    types::Account {
        account_id: account_id.as_str().to_owned(),
        owner_id: owner_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        currency_code: currency.as_str().to_owned(),
        balance: Some(money(*currency, side.state.balance)),
        available: Some(money(*currency, available)),
        held: Some(money(*currency, side.state.held)),
        overdraft_limit: side.state.overdraft_limit,
        status: match side.state.status {
            Status::Open => types::AccountStatus::Open,
            Status::Frozen => types::AccountStatus::Frozen,
            Status::Closed => types::AccountStatus::Closed,
        }
        .into(),
        labels: if shown == Labels::Shown { labels.clone() } else { BTreeMap::new() },
        version: side.state.version.get(),
        open_time: Some(time(side.opened_at)),
        update_time: Some(time(side.recorded_at)),
    }
}

/// The statement's line; `None` for an event that moves no money.
fn transaction(side: &Side) -> Option<types::Transaction> {
    use types::{Direction, TransactionType};
    let (kind, direction, line) = match &side.event {
        Event::MoneyDeposited(entry) => (TransactionType::Deposit, Direction::Credit, Line::of(entry)),
        Event::MoneyWithdrawn(entry) => (TransactionType::Withdrawal, Direction::Debit, Line::of(entry)),
        Event::BillPaid(entry) => (TransactionType::BillPayment, Direction::Debit, Line::of(entry)),
        Event::TransferSent(entry) => (TransactionType::TransferSent, Direction::Debit, Line::of_transfer(entry)),
        Event::AccountOpened { .. }
        | Event::TransferReceived(_) // never the first event of a command
        | Event::OverdraftLimitSet { .. }
        | Event::AccountFrozen
        | Event::AccountUnfrozen
        | Event::AccountClosed
        | Event::CommandRejected(_) => return None,
    };
    let currency = side.opening.currency;
    Some(types::Transaction {
        transaction_id: TransactionId { shard: side.shard, position: side.position }.to_string(),
        account_id: side.opening.account_id.as_str().to_owned(),
        r#type: kind.into(),
        direction: direction.into(),
        amount: Some(money(currency, line.amount.minor_units())),
        balance_after: Some(money(currency, side.state.balance)),
        version: side.state.version.get(),
        reference: line.reference.map(|text| text.as_str().to_owned()).unwrap_or_default(),
        counterparty: line.counterparty.unwrap_or_default().to_owned(),
        effective_time: line.effective_at.map(time),
        commit_time: Some(time(side.recorded_at)),
    })
}

struct Line<'a> {
    amount: Amount,
    reference: Option<&'a Text>,
    counterparty: Option<&'a str>,
    effective_at: Option<Timestamp>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            amount: entry.amount,
            reference: entry.reference.as_ref(),
            counterparty: entry.counterparty.as_ref().map(Text::as_str),
            effective_at: entry.effective_at,
        }
    }

    fn of_transfer(entry: &'a TransferEntry) -> Self {
        Self {
            amount: entry.amount,
            reference: entry.reference.as_ref(),
            counterparty: Some(entry.peer.as_str()),
            effective_at: entry.effective_at,
        }
    }
}

fn money(currency: Currency, minor_units: i64) -> types::Money {
    types::Money {
        currency_code: currency.as_str().to_owned(),
        minor_units,
        display: currency.display(minor_units),
    }
}

fn time(time: Timestamp) -> WireTimestamp {
    let micros = time.micros();
    WireTimestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(), // below 10^9
    }
}

//! The log as the judges read it: every row, verified by its chains, and as plain values.

use std::{collections::HashMap, sync::Arc};

use event_store::{ChainLink, Error, LogReader, RecordedEvent};
use ledger::{
    AccountNumber, AccountState, Event, Movement, Opening, Operation, Position, Rejection, Shard,
    event::RejectedCommand,
};
use uuid::Uuid;

use crate::model::{Command, Doing, Fact, Place, Row, Stated, Status, Sum};

/// Events asked for at once.
const PAGE_EVENTS: usize = 2000;

/// The whole log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) log_id: Uuid,
    pub(crate) shards: i16,
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) rows: Vec<Row>,
    /// Where each shard ends.
    pub(crate) ends: HashMap<Shard, ChainLink>,
    /// What the chains have against it.
    pub(crate) broken: Option<String>,
}

/// Reads all of it.
pub(crate) async fn read(database_url: &str) -> Result<Log, Error> {
    let reader = LogReader::connect(database_url, "oracle").await?;
    let identity = reader.identity().await?;
    let mut log = Log {
        log_id: identity.log_id.0,
        shards: identity.shards.get(),
        events: Vec::new(),
        rows: Vec::new(),
        ends: HashMap::new(),
        broken: None,
    };
    for shard in identity.shards.shards() {
        let mut link = identity.genesis(shard);
        loop {
            match reader.read_after(shard, &link, PAGE_EVENTS).await {
                Ok(batches) => {
                    let Some(last) = batches.last() else { break };
                    link = last.link;
                    log.events.extend(batches.into_iter().flat_map(|batch| batch.events));
                }
                Err(error @ Error::Corrupt { .. }) => {
                    log.broken = Some(error.to_string());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        log.ends.insert(shard, link);
    }
    log.rows = rows_of(&log.events);
    Ok(log)
}

/// The same as plain values.
fn rows_of(events: &[RecordedEvent]) -> Vec<Row> {
    let mut openings: HashMap<(Shard, AccountNumber), Arc<Opening>> = HashMap::new();
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        if let Event::AccountOpened { opening, .. } = &event.event {
            openings.insert((event.shard, event.account), opening.clone());
        }
        // An account without an opening is found by the replay, under a name that no client has given.
        let opening = openings.get(&(event.shard, event.account));
        let unknown = || format!("(number {})", event.account.get());
        let account = opening.map_or_else(unknown, |opening| opening.account_id.as_str().into());
        let currency = opening.map_or("", |opening| opening.currency.as_str());
        let AccountState { version, balance, held, overdraft_limit: limit, status } = event.state;
        let (version, status) = (version.get(), status_of(status));
        rows.push(Row {
            place: place(event.shard, event.position),
            fact: fact(&event.event, &account, currency),
            account,
            request_id: event.request_id.map(ledger::RequestId::uuid),
            stated: Stated { version, balance, held, limit, status },
            recorded_at: event.recorded_at.micros(),
            peer: event.peer.map(|(shard, position)| place(shard, position)),
        });
    }
    rows
}

fn place(shard: Shard, position: Position) -> Place {
    Place { shard: shard.get(), position: position.get() }
}

fn status_of(status: ledger::Status) -> Status {
    match status {
        ledger::Status::Open => Status::Open,
        ledger::Status::Frozen => Status::Frozen,
        ledger::Status::Closed => Status::Closed,
    }
}

fn fact(event: &Event, account: &str, currency: &str) -> Fact {
    let sum = |amount: ledger::Amount| Sum {
        currency: currency.to_owned(),
        amount: amount.minor_units(),
    };
    Fact::Done(match event {
        Event::AccountOpened { opening, overdraft_limit } => opened(opening, *overdraft_limit),
        Event::MoneyDeposited(entry) => Doing::Deposit(sum(entry.amount)),
        Event::MoneyWithdrawn(entry) => Doing::Withdraw(sum(entry.amount)),
        Event::BillPaid(entry) => Doing::PayBill(sum(entry.amount)),
        Event::TransferSent(entry) => {
            Doing::Transfer { to: entry.peer.as_str().to_owned(), sum: sum(entry.amount) }
        }
        Event::TransferReceived(entry) => {
            let from = entry.peer.as_str().to_owned();
            return Fact::Received { from, sum: sum(entry.amount) };
        }
        Event::OverdraftLimitSet { overdraft_limit } => Doing::SetLimit(*overdraft_limit),
        Event::AccountFrozen => Doing::Freeze,
        Event::AccountUnfrozen => Doing::Unfreeze,
        Event::AccountClosed => Doing::Close,
        Event::CommandRejected(rejected) => {
            let RejectedCommand { operation, expected_version, rejection } = &**rejected;
            let command = Command {
                account: account.to_owned(),
                doing: asked(operation),
                expected_version: expected_version.map(ledger::StreamVersion::get),
            };
            return Fact::Refused { command, reason: reason_of(rejection) };
        }
    })
}

fn opened(opening: &Opening, limit: i64) -> Doing {
    let owner = opening.owner_id.as_ref().map_or("", ledger::OwnerId::as_str).to_owned();
    Doing::Open { owner, currency: opening.currency.as_str().to_owned(), limit }
}

fn asked(operation: &Operation) -> Doing {
    let money = |money: ledger::Money| Sum {
        currency: money.currency.as_str().to_owned(),
        amount: money.amount.minor_units(),
    };
    let sum = |movement: &Movement| money(movement.money);
    match operation {
        Operation::OpenAccount { opening, overdraft_limit } => opened(opening, *overdraft_limit),
        Operation::Deposit(movement) => Doing::Deposit(sum(movement)),
        Operation::Withdraw(movement) => Doing::Withdraw(sum(movement)),
        Operation::PayBill(movement) => Doing::PayBill(sum(movement)),
        Operation::Transfer(transfer) => {
            let to = transfer.destination.as_str().to_owned();
            Doing::Transfer { to, sum: money(transfer.money) }
        }
        Operation::SetOverdraftLimit { overdraft_limit } => Doing::SetLimit(*overdraft_limit),
        Operation::FreezeAccount => Doing::Freeze,
        Operation::UnfreezeAccount => Doing::Unfreeze,
        Operation::CloseAccount => Doing::Close,
    }
}

/// The word of the contract for a stored refusal.
fn reason_of(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::AccountNotFound { .. } => "ACCOUNT_NOT_FOUND",
        Rejection::AccountAlreadyExists { .. } => "ACCOUNT_ALREADY_EXISTS",
        Rejection::VersionConflict { .. } => "VERSION_CONFLICT",
        Rejection::AccountClosed { .. } => "ACCOUNT_CLOSED",
        Rejection::AccountFrozen { .. } => "ACCOUNT_FROZEN",
        Rejection::AccountNotFrozen { .. } => "ACCOUNT_NOT_FROZEN",
        Rejection::CurrencyMismatch { .. } => "CURRENCY_MISMATCH",
        Rejection::InsufficientFunds { .. } => "INSUFFICIENT_FUNDS",
        Rejection::BalanceOverflow { .. } => "BALANCE_OVERFLOW",
        Rejection::BalanceNotZero { .. } => "BALANCE_NOT_ZERO",
        Rejection::HoldsOpen { .. } => "HOLDS_OPEN",
        Rejection::LimitAboveBalance { .. } => "LIMIT_ABOVE_BALANCE",
    }
}

//! An event as the columns of its row, and back.

use std::sync::Arc;

use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, Event, Money, Movement, Opening,
    Operation, OwnerId, Position, RequestId, Shard, Status, StreamVersion, Text, Timestamp,
    TransactionId, Transfer,
    event::{Entry, RejectedCommand, TransferEntry},
};
use uuid::Uuid;

use crate::{
    decode::stored_position,
    details::{
        BatchExtent, RejectionDetails, decode_labels, decode_rejection, encode_batch,
        encode_labels, encode_rejection, split_batch,
    },
};

/// Numbers of event types, as `counterfoil.event_types` names them. For ever.
pub mod event_type {
    /// `AccountOpened`
    pub const ACCOUNT_OPENED: i16 = 1;
    /// `MoneyDeposited`
    pub const MONEY_DEPOSITED: i16 = 2;
    /// `MoneyWithdrawn`
    pub const MONEY_WITHDRAWN: i16 = 3;
    /// `BillPaid`
    pub const BILL_PAID: i16 = 4;
    /// `TransferSent`
    pub const TRANSFER_SENT: i16 = 5;
    /// `TransferReceived`
    pub const TRANSFER_RECEIVED: i16 = 6;
    /// `OverdraftLimitSet`
    pub const OVERDRAFT_LIMIT_SET: i16 = 7;
    /// `AccountFrozen`
    pub const ACCOUNT_FROZEN: i16 = 8;
    /// `AccountUnfrozen`
    pub const ACCOUNT_UNFROZEN: i16 = 9;
    /// `AccountClosed`
    pub const ACCOUNT_CLOSED: i16 = 10;
    /// `CommandRejected`
    pub const COMMAND_REJECTED: i16 = 11;
}

/// One row of `events` without its place. Exactly what is stored and exactly what is under the digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the columns are documented in migrations/0001_log.sql")]
pub struct EventRow {
    pub account: i32,
    pub event_type: i16,
    pub version: i64,
    pub balance: i64,
    pub status: i16,
    pub amount: Option<i64>,
    pub request_id: Option<Uuid>,
    pub held: Option<i64>,
    pub overdraft_limit: Option<i64>,
    pub peer_shard: Option<i16>,
    pub peer_position: Option<i64>,
    pub effective_at: Option<Timestamp>,
    pub schema_version: Option<i16>,
    pub account_id: Option<String>,
    pub owner_id: Option<String>,
    pub currency: Option<String>,
    pub reference: Option<String>,
    pub counterparty: Option<String>,
    pub actor: Option<String>,
    pub trace_context: Option<Vec<u8>>,
    pub details: Option<Vec<u8>>,
}

/// An event before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventData {
    /// The account's number in its shard.
    pub account: AccountNumber,
    /// What happened.
    pub event: Event,
    /// How the account stands after it.
    pub state: AccountState,
    /// On the first event of a command.
    pub request_id: Option<RequestId>,
    /// Of a transfer, where the other side's event is.
    pub peer: Option<(Shard, Position)>,
    /// Who sent the command, as far as known.
    pub actor: Option<String>,
    /// The trace the command came in, as far as known.
    pub trace_context: Option<Vec<u8>>,
}

/// An event as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The shard.
    pub shard: Shard,
    /// Its place in the shard.
    pub position: Position,
    /// When its batch was recorded.
    pub recorded_at: Timestamp,
    /// The account's number in the shard.
    pub account: AccountNumber,
    /// What happened.
    pub event: Event,
    /// How the account stands after it.
    pub state: AccountState,
    /// On the first event of a command.
    pub request_id: Option<RequestId>,
    /// Of a transfer, where the other side's event is.
    pub peer: Option<(Shard, Position)>,
}

impl RecordedEvent {
    /// The transaction it is part of: the place of its command's first event.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        match (&self.event, self.peer) {
            (Event::TransferReceived(_), Some((shard, position))) => {
                TransactionId { shard, position }
            }
            _ => TransactionId { shard: self.shard, position: self.position },
        }
    }
}

impl EventData {
    /// The event as columns.
    #[must_use]
    pub fn into_row(self) -> EventRow {
        let mut row = EventRow {
            account: self.account.get(),
            version: self.state.version.get(),
            balance: self.state.balance,
            status: status_number(self.state.status),
            held: nonzero(self.state.held),
            overdraft_limit: nonzero(self.state.overdraft_limit),
            request_id: self.request_id.map(RequestId::uuid),
            peer_shard: self.peer.map(|(shard, _)| shard.get()),
            peer_position: self.peer.map(|(_, position)| position.get()),
            actor: self.actor,
            trace_context: self.trace_context,
            ..EventRow::default()
        };
        put_event(&mut row, self.event);
        row
    }
}

fn put_event(row: &mut EventRow, event: Event) {
    row.event_type = match event {
        Event::AccountOpened { opening, .. } => {
            row.account_id = Some(opening.account_id.as_str().to_owned());
            row.owner_id = opening.owner_id.as_ref().map(|id| id.as_str().to_owned());
            row.currency = Some(opening.currency.as_str().to_owned());
            row.details = encode_labels(&opening.labels);
            event_type::ACCOUNT_OPENED
        }
        Event::MoneyDeposited(entry) => put_entry(row, entry, event_type::MONEY_DEPOSITED),
        Event::MoneyWithdrawn(entry) => put_entry(row, entry, event_type::MONEY_WITHDRAWN),
        Event::BillPaid(entry) => put_entry(row, entry, event_type::BILL_PAID),
        Event::TransferSent(entry) => put_transfer(row, entry, event_type::TRANSFER_SENT),
        Event::TransferReceived(entry) => put_transfer(row, entry, event_type::TRANSFER_RECEIVED),
        Event::OverdraftLimitSet { .. } => event_type::OVERDRAFT_LIMIT_SET,
        Event::AccountFrozen => event_type::ACCOUNT_FROZEN,
        Event::AccountUnfrozen => event_type::ACCOUNT_UNFROZEN,
        Event::AccountClosed => event_type::ACCOUNT_CLOSED,
        Event::CommandRejected(rejected) => {
            put_rejected(row, *rejected);
            event_type::COMMAND_REJECTED
        }
    };
}

fn put_entry(row: &mut EventRow, entry: Entry, event_type: i16) -> i16 {
    row.amount = Some(entry.amount.minor_units());
    row.reference = entry.reference.map(|text| text.as_str().to_owned());
    row.counterparty = entry.counterparty.map(|text| text.as_str().to_owned());
    row.effective_at = entry.effective_at;
    event_type
}

fn put_transfer(row: &mut EventRow, entry: TransferEntry, event_type: i16) -> i16 {
    row.amount = Some(entry.amount.minor_units());
    row.reference = entry.reference.map(|text| text.as_str().to_owned());
    row.counterparty = Some(entry.peer.as_str().to_owned());
    row.effective_at = entry.effective_at;
    event_type
}

fn put_rejected(row: &mut EventRow, rejected: RejectedCommand) {
    let mut limit = 0;
    let movement = |row: &mut EventRow, movement: Movement, event_type: i16| {
        row.currency = Some(movement.money.currency.as_str().to_owned());
        let Movement { money, reference, counterparty, effective_at } = movement;
        put_entry(
            row,
            Entry { amount: money.amount, reference, counterparty, effective_at },
            event_type,
        )
    };
    let event_type = match rejected.operation {
        Operation::OpenAccount { .. } => event_type::ACCOUNT_OPENED, // never stored: see Rejection::is_stored
        Operation::Deposit(asked) => movement(row, asked, event_type::MONEY_DEPOSITED),
        Operation::Withdraw(asked) => movement(row, asked, event_type::MONEY_WITHDRAWN),
        Operation::PayBill(asked) => movement(row, asked, event_type::BILL_PAID),
        Operation::Transfer(Transfer { destination, money, reference, effective_at }) => {
            row.currency = Some(money.currency.as_str().to_owned());
            let entry =
                TransferEntry { amount: money.amount, reference, peer: destination, effective_at };
            put_transfer(row, entry, event_type::TRANSFER_SENT)
        }
        Operation::SetOverdraftLimit { overdraft_limit } => {
            limit = overdraft_limit;
            event_type::OVERDRAFT_LIMIT_SET
        }
        Operation::FreezeAccount => event_type::ACCOUNT_FROZEN,
        Operation::UnfreezeAccount => event_type::ACCOUNT_UNFROZEN,
        Operation::CloseAccount => event_type::ACCOUNT_CLOSED,
    };
    row.details = Some(encode_rejection(&RejectionDetails {
        event_type,
        expected_version: rejected.expected_version,
        overdraft_limit: limit,
        rejection: rejected.rejection,
    }));
}

/// A row that this program cannot understand. It is never skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row cannot be understood: {0}")]
pub struct RowUnknown(pub &'static str);

/// A row as it is read: what [`EventRow`] owns, borrowed from where it came in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BorrowedRow<'a> {
    pub(crate) account: i32,
    pub(crate) event_type: i16,
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) status: i16,
    pub(crate) amount: Option<i64>,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) held: Option<i64>,
    pub(crate) overdraft_limit: Option<i64>,
    pub(crate) peer_shard: Option<i16>,
    pub(crate) peer_position: Option<i64>,
    pub(crate) effective_at: Option<Timestamp>,
    pub(crate) schema_version: Option<i16>,
    pub(crate) account_id: Option<&'a str>,
    pub(crate) owner_id: Option<&'a str>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) reference: Option<&'a str>,
    pub(crate) counterparty: Option<&'a str>,
    pub(crate) actor: Option<&'a str>,
    pub(crate) trace_context: Option<&'a [u8]>,
    pub(crate) details: Option<&'a [u8]>,
}

impl EventRow {
    /// The same, borrowed.
    pub(crate) fn borrowed(&self) -> BorrowedRow<'_> {
        BorrowedRow {
            account: self.account,
            event_type: self.event_type,
            version: self.version,
            balance: self.balance,
            status: self.status,
            amount: self.amount,
            request_id: self.request_id,
            held: self.held,
            overdraft_limit: self.overdraft_limit,
            peer_shard: self.peer_shard,
            peer_position: self.peer_position,
            effective_at: self.effective_at,
            schema_version: self.schema_version,
            account_id: self.account_id.as_deref(),
            owner_id: self.owner_id.as_deref(),
            currency: self.currency.as_deref(),
            reference: self.reference.as_deref(),
            counterparty: self.counterparty.as_deref(),
            actor: self.actor.as_deref(),
            trace_context: self.trace_context.as_deref(),
            details: self.details.as_deref(),
        }
    }

    /// The state the row carries.
    ///
    /// # Errors
    /// [`RowUnknown`] when a value is out of its range.
    pub fn state(&self) -> Result<AccountState, RowUnknown> {
        self.borrowed().state()
    }

    /// Makes this the row by which an atomic batch is found: it has these rows, this one included.
    pub fn mark_batch(&mut self, extents: &[BatchExtent]) {
        self.details = Some(encode_batch(extents, self.details.take()));
    }

    /// Where the rows of the atomic batch are that is found by this one.
    ///
    /// # Errors
    /// [`RowUnknown`] when that cannot be read.
    pub fn batch(&self) -> Result<Option<Vec<BatchExtent>>, RowUnknown> {
        self.borrowed().batch()
    }

    /// Where the other side of a transfer is.
    #[must_use]
    pub fn peer(&self) -> Option<(Shard, Position)> {
        self.borrowed().peer()
    }

    /// The event, decoded by its type and version.
    ///
    /// # Errors
    /// [`RowUnknown`] for a type or version this program does not know, or values that do not fit it.
    pub fn event(&self) -> Result<Event, RowUnknown> {
        self.borrowed().event()
    }

    /// What an opening row says once and for all.
    ///
    /// # Errors
    /// [`RowUnknown`] when the row is no opening.
    pub fn opening(&self) -> Result<Opening, RowUnknown> {
        self.borrowed().opening()
    }
}

impl BorrowedRow<'_> {
    pub(crate) fn state(&self) -> Result<AccountState, RowUnknown> {
        Ok(AccountState {
            version: StreamVersion::new(self.version).ok_or(RowUnknown("version"))?,
            balance: self.balance,
            held: self.held.unwrap_or(0),
            overdraft_limit: self.overdraft_limit.unwrap_or(0),
            status: status(self.status)?,
        })
    }

    pub(crate) fn batch(&self) -> Result<Option<Vec<BatchExtent>>, RowUnknown> {
        let split = split_batch(self.details).map_err(|_| RowUnknown("details"))?;
        Ok(split.0)
    }

    pub(crate) fn peer(&self) -> Option<(Shard, Position)> {
        Some((Shard::new(self.peer_shard?)?, stored_position(self.peer_position?)?))
    }

    pub(crate) fn event(&self) -> Result<Event, RowUnknown> {
        if self.schema_version.unwrap_or(1) != 1 {
            return Err(RowUnknown("schema_version"));
        }
        Ok(match self.event_type {
            event_type::ACCOUNT_OPENED => Event::AccountOpened {
                opening: Arc::new(self.opening()?),
                overdraft_limit: self.overdraft_limit.unwrap_or(0),
            },
            event_type::MONEY_DEPOSITED => Event::MoneyDeposited(self.entry()?),
            event_type::MONEY_WITHDRAWN => Event::MoneyWithdrawn(self.entry()?),
            event_type::BILL_PAID => Event::BillPaid(self.entry()?),
            event_type::TRANSFER_SENT => Event::TransferSent(self.transfer_entry()?),
            event_type::TRANSFER_RECEIVED => Event::TransferReceived(self.transfer_entry()?),
            event_type::OVERDRAFT_LIMIT_SET => {
                Event::OverdraftLimitSet { overdraft_limit: self.overdraft_limit.unwrap_or(0) }
            }
            event_type::ACCOUNT_FROZEN => Event::AccountFrozen,
            event_type::ACCOUNT_UNFROZEN => Event::AccountUnfrozen,
            event_type::ACCOUNT_CLOSED => Event::AccountClosed,
            event_type::COMMAND_REJECTED => Event::CommandRejected(Box::new(self.rejected()?)),
            _ => return Err(RowUnknown("event_type")),
        })
    }

    pub(crate) fn opening(&self) -> Result<Opening, RowUnknown> {
        let account_id = self.account_id.ok_or(RowUnknown("account_id"))?;
        Ok(Opening {
            account_id: AccountId::new(account_id).map_err(|_| RowUnknown("account_id"))?,
            owner_id: match self.owner_id {
                Some(id) => Some(OwnerId::new(id).map_err(|_| RowUnknown("owner_id"))?),
                None => None,
            },
            currency: self.currency()?,
            labels: decode_labels(self.details).map_err(|_| RowUnknown("details"))?,
        })
    }

    fn currency(&self) -> Result<Currency, RowUnknown> {
        let code = self.currency.ok_or(RowUnknown("currency"))?;
        Currency::new(code).map_err(|_| RowUnknown("currency"))
    }

    fn entry(&self) -> Result<Entry, RowUnknown> {
        Ok(Entry {
            amount: self.amount.and_then(Amount::new).ok_or(RowUnknown("amount"))?,
            reference: text(self.reference, "reference")?,
            counterparty: text(self.counterparty, "counterparty")?,
            effective_at: self.effective_at,
        })
    }

    fn transfer_entry(&self) -> Result<TransferEntry, RowUnknown> {
        let peer = self.counterparty.ok_or(RowUnknown("counterparty"))?;
        Ok(TransferEntry {
            amount: self.amount.and_then(Amount::new).ok_or(RowUnknown("amount"))?,
            reference: text(self.reference, "reference")?,
            peer: AccountId::new(peer).map_err(|_| RowUnknown("counterparty"))?,
            effective_at: self.effective_at,
        })
    }

    fn rejected(&self) -> Result<RejectedCommand, RowUnknown> {
        let details = decode_rejection(self.details).map_err(|_| RowUnknown("details"))?;
        let movement = || {
            let Entry { amount, reference, counterparty, effective_at } = self.entry()?;
            let money = Money { amount, currency: self.currency()? };
            Ok(Movement { money, reference, counterparty, effective_at })
        };
        let operation = match details.event_type {
            event_type::MONEY_DEPOSITED => Operation::Deposit(movement()?),
            event_type::MONEY_WITHDRAWN => Operation::Withdraw(movement()?),
            event_type::BILL_PAID => Operation::PayBill(movement()?),
            event_type::TRANSFER_SENT => {
                let TransferEntry { amount, reference, peer, effective_at } =
                    self.transfer_entry()?;
                let money = Money { amount, currency: self.currency()? };
                Operation::Transfer(Transfer { destination: peer, money, reference, effective_at })
            }
            event_type::OVERDRAFT_LIMIT_SET => {
                Operation::SetOverdraftLimit { overdraft_limit: details.overdraft_limit }
            }
            event_type::ACCOUNT_FROZEN => Operation::FreezeAccount,
            event_type::ACCOUNT_UNFROZEN => Operation::UnfreezeAccount,
            event_type::ACCOUNT_CLOSED => Operation::CloseAccount,
            _ => return Err(RowUnknown("details")),
        };
        let RejectionDetails { expected_version, rejection, .. } = details;
        Ok(RejectedCommand { operation, expected_version, rejection })
    }
}

fn text(text: Option<&str>, column: &'static str) -> Result<Option<Text>, RowUnknown> {
    text.map(Text::new).transpose().map_err(|_| RowUnknown(column))
}

fn nonzero(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn status_number(status: Status) -> i16 {
    match status {
        Status::Open => 1,
        Status::Frozen => 2,
        Status::Closed => 3,
    }
}

fn status(number: i16) -> Result<Status, RowUnknown> {
    match number {
        1 => Ok(Status::Open),
        2 => Ok(Status::Frozen),
        3 => Ok(Status::Closed),
        _ => Err(RowUnknown("status")),
    }
}

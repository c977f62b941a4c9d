//! From rows of the statements in `sql/` to what they mean.

use std::sync::Arc;

use ledger::{
    AccountNumber, AccountState, LogId, Position, RequestId, Shard, ShardCount, Timestamp,
};
use tokio_postgres::Row;

use crate::{
    Error, RecordedEvent,
    chain::{ChainLink, Head, LogIdentity},
    reader::{AccountRecord, OpenedAccount},
    row::BorrowedRow,
    sql_types::SqlTime,
};

pub(crate) fn get<'a, T: postgres_types::FromSql<'a>>(
    shard: Shard,
    row: &'a Row,
    column: usize,
) -> Result<T, Error> {
    row.try_get(column).map_err(|cause| {
        let finding = format!("column {column} cannot be read: {cause}");
        Error::corrupt(shard, Position::ZERO, finding)
    })
}

/// No log grows so far. From there one can still count on without overflow.
pub(crate) const POSITION_MAX: i64 = 1 << 62;

/// A position that is stored. One so large that counting on from it could overflow is nobody's.
pub(crate) fn stored_position(number: i64) -> Option<Position> {
    Position::new(number).filter(|position| position.get() <= POSITION_MAX)
}

pub(crate) fn position(shard: Shard, number: i64) -> Result<Position, Error> {
    stored_position(number)
        .ok_or_else(|| Error::corrupt(shard, Position::ZERO, format!("position {number}")))
}

pub(crate) fn identity_of(row: &Row) -> Result<LogIdentity, Error> {
    let shards: i16 = row.get(2);
    Ok(LogIdentity {
        incarnation: row.get(0),
        log_id: LogId(row.get(1)),
        shards: ShardCount::new(shards)
            .ok_or_else(|| Error::Settings(format!("{shards} shards")))?,
        first_log_id: LogId(row.get(3)),
    })
}

pub(crate) fn head_of(shard: Shard, row: &Row) -> Result<Head, Error> {
    let hash = |column| -> Result<[u8; 32], Error> {
        get::<&[u8]>(shard, row, column)?
            .try_into()
            .map_err(|_| Error::corrupt(shard, Position::ZERO, "a hash is not 32 bytes"))
    };
    let link = ChainLink {
        position: position(shard, get(shard, row, 0)?)?,
        digest: hash(3)?,
        hash: hash(4)?,
    };
    Ok(Head {
        link,
        recorded_at: Some(get::<SqlTime>(shard, row, 1)?.0),
        accounts: get(shard, row, 2)?,
    })
}

/// Columns as in `events_after.sql`.
pub(crate) fn borrowed_row(shard: Shard, row: &Row) -> Result<BorrowedRow<'_>, Error> {
    Ok(BorrowedRow {
        version: get(shard, row, 1)?,
        balance: get(shard, row, 2)?,
        amount: get(shard, row, 3)?,
        held: get(shard, row, 4)?,
        overdraft_limit: get(shard, row, 5)?,
        peer_position: get(shard, row, 6)?,
        effective_at: get::<Option<SqlTime>>(shard, row, 7)?.map(|time| time.0),
        account: get(shard, row, 8)?,
        event_type: get(shard, row, 9)?,
        status: get(shard, row, 10)?,
        peer_shard: get(shard, row, 11)?,
        schema_version: get(shard, row, 12)?,
        request_id: get(shard, row, 13)?,
        account_id: get(shard, row, 14)?,
        owner_id: get(shard, row, 15)?,
        currency: get(shard, row, 16)?,
        reference: get(shard, row, 17)?,
        counterparty: get(shard, row, 18)?,
        actor: get(shard, row, 19)?,
        trace_context: get(shard, row, 20)?,
        details: get(shard, row, 21)?,
    })
}

/// Columns as in `events_at.sql` and `outcomes.sql`: the time of the batch stands last.
pub(crate) fn recorded_with_time(shard: Shard, row: &Row) -> Result<RecordedEvent, Error> {
    let at = position(shard, get(shard, row, 0)?)?;
    let read = || {
        let recorded_at = get::<SqlTime>(shard, row, 22)?.0;
        recorded_event(shard, at, recorded_at, &borrowed_row(shard, row)?)
    };
    read().map_err(|error| match error {
        // A value does not know where it stands.
        Error::Corrupt { shard, finding, .. } => Error::corrupt(shard, at, finding),
        error => error,
    })
}

pub(crate) fn recorded_event(
    shard: Shard,
    position: Position,
    recorded_at: Timestamp,
    row: &BorrowedRow<'_>,
) -> Result<RecordedEvent, Error> {
    let unknown = |unknown: crate::row::RowUnknown| Error::NotUnderstood {
        shard,
        position,
        finding: unknown.to_string(),
    };
    Ok(RecordedEvent {
        shard,
        position,
        recorded_at,
        account: AccountNumber::new(row.account)
            .ok_or_else(|| Error::corrupt(shard, position, "the row has no account"))?,
        event: row.event().map_err(unknown)?,
        state: row.state().map_err(unknown)?,
        request_id: row.request_id.and_then(RequestId::new),
        peer: row.peer(),
    })
}

/// Columns as in `openings.sql`.
pub(crate) fn opened_of(shard: Shard, row: &Row) -> Result<(AccountNumber, OpenedAccount), Error> {
    let columns = BorrowedRow {
        account: get(shard, row, 0)?,
        account_id: get(shard, row, 1)?,
        owner_id: get(shard, row, 2)?,
        currency: get(shard, row, 3)?,
        details: get(shard, row, 4)?,
        ..BorrowedRow::default()
    };
    let unknown = |what: String| {
        Error::corrupt(shard, Position::ZERO, format!("account {}: {what}", columns.account))
    };
    let number = AccountNumber::new(columns.account).ok_or_else(|| unknown("number".into()))?;
    let opening = columns.opening().map_err(|row| unknown(row.to_string()))?;
    let opened_at = get::<SqlTime>(shard, row, 5)?.0;
    Ok((number, OpenedAccount { opening: Arc::new(opening), opened_at }))
}

/// Columns as in `openings.sql`, then the state.
pub(crate) fn state_of(shard: Shard, row: &Row) -> Result<AccountState, Error> {
    let columns = BorrowedRow {
        version: get(shard, row, 6)?,
        balance: get(shard, row, 7)?,
        held: get(shard, row, 8)?,
        overdraft_limit: get(shard, row, 9)?,
        status: get(shard, row, 10)?,
        ..BorrowedRow::default()
    };
    columns.state().map_err(|row| Error::corrupt(shard, Position::ZERO, row.to_string()))
}

pub(crate) fn record_of(shard: Shard, row: &Row) -> Result<AccountRecord, Error> {
    let (number, OpenedAccount { opening, opened_at }) = opened_of(shard, row)?;
    Ok(AccountRecord {
        number,
        opening,
        opened_at,
        state: state_of(shard, row)?,
        position: position(shard, get(shard, row, 11)?)?,
        recorded_at: get::<SqlTime>(shard, row, 12)?.0,
    })
}

//! Reading the log: batch by batch, verified, and account by account.

use std::{collections::HashMap, sync::Arc};

use ledger::{
    AccountNumber, AccountState, LogId, Opening, Position, RequestId, Shard, ShardCount,
    StreamVersion, Timestamp,
};
use tokio_postgres::{Row, Statement, types::ToSql};

use crate::{
    Error, RecordedEvent,
    chain::{self, ChainLink, DigestInput, FORMAT, Head, LogIdentity},
    connect::{Connection, Purpose, connect},
    row::EventRow,
    sql_types::SqlTime,
};

/// One batch of the log with everything in it, verified against the batch before.
#[derive(Debug, Clone)]
pub struct RecordedBatch {
    /// The shard.
    pub shard: Shard,
    /// Place of the first event.
    pub first_position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Where it ends.
    pub link: ChainLink,
    /// Accounts ever opened in the shard, this batch included.
    pub accounts: i32,
    /// Its events, in order.
    pub events: Vec<RecordedEvent>,
}

/// What was said when an account was opened, and when.
#[derive(Debug, Clone)]
pub struct OpenedAccount {
    /// What never changes about it.
    pub opening: Arc<Opening>,
    /// When the opening was recorded.
    pub opened_at: Timestamp,
}

/// An account as it stood after one of its rows.
#[derive(Debug, Clone)]
pub struct AccountRecord {
    /// Its number in the shard.
    pub number: AccountNumber,
    /// What never changes about it.
    pub opening: Arc<Opening>,
    /// When the opening was recorded.
    pub opened_at: Timestamp,
    /// How it stood.
    pub state: AccountState,
    /// The row that says so.
    pub position: Position,
    /// When that row was recorded.
    pub recorded_at: Timestamp,
}

/// One connection that reads the log, with nothing but the right to do so.
#[derive(Debug)]
pub struct LogReader {
    pub(crate) connection: Connection,
    statements: Statements,
}

#[derive(Debug)]
struct Statements {
    head: Statement,
    batch_ending_at: Statement,
    batches_after: Statement,
    events_after: Statement,
    openings: Statement,
    accounts_after: Statement,
    states_at: Statement,
    events_at: Statement,
}

impl LogReader {
    /// Connects as the projector's role.
    ///
    /// # Errors
    /// When the database cannot be reached or lacks the schema.
    pub async fn connect(database_url: &str, application_name: &str) -> Result<Self, Error> {
        Self::connect_as(database_url, application_name, Purpose::Read).await
    }

    pub(crate) async fn connect_as(
        url: &str,
        application_name: &str,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let connection = connect(url, application_name, purpose).await?;
        let prepare = async |sql: &str| {
            connection
                .client
                .prepare(sql)
                .await
                .map_err(|cause| Error::of("prepare to read the log", cause))
        };
        let statements = Statements {
            head: prepare(include_str!("../sql/head.sql")).await?,
            batch_ending_at: prepare(include_str!("../sql/batch_ending_at.sql")).await?,
            batches_after: prepare(include_str!("../sql/batches_after.sql")).await?,
            events_after: prepare(include_str!("../sql/events_after.sql")).await?,
            openings: prepare(include_str!("../sql/openings.sql")).await?,
            accounts_after: prepare(include_str!("../sql/accounts_after.sql")).await?,
            states_at: prepare(include_str!("../sql/states_at.sql")).await?,
            events_at: prepare(include_str!("../sql/events_at.sql")).await?,
        };
        Ok(Self { connection, statements })
    }

    /// Whether the connection is known to be lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }

    pub(crate) async fn query(
        &self,
        doing: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.connection
            .client
            .query(statement, parameters)
            .await
            .map_err(|cause| Error::of(doing, cause))
    }

    /// Which log this is, now.
    ///
    /// # Errors
    /// When the database fails or the log was never created.
    pub async fn identity(&self) -> Result<LogIdentity, Error> {
        let rows = self.connection.client.query(include_str!("../sql/identity.sql"), &[]).await;
        let rows = rows.map_err(|cause| Error::of("read which log this is", cause))?;
        let row =
            rows.first().ok_or_else(|| Error::Settings("the log was never created".into()))?;
        identity_of(row)
    }

    /// Whether this server is a copy of another: its head proves nothing about the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_standby(&self) -> Result<bool, Error> {
        let row = self.connection.client.query_one("SELECT pg_is_in_recovery()", &[]).await;
        Ok(row.map_err(|cause| Error::of("ask whether the server is a standby", cause))?.get(0))
    }

    /// The newest batch of a shard; `None` while it is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head(&self, shard: Shard) -> Result<Option<Head>, Error> {
        let rows = self
            .query("read the head", &self.statements.head, &[/* $1 shard */ &shard.get()])
            .await?;
        rows.first().map(|row| head_of(shard, row)).transpose()
    }

    /// The batch that ends at a position, if one does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link_at(
        &self,
        shard: Shard,
        position: Position,
    ) -> Result<Option<ChainLink>, Error> {
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 position */ &position.get()];
        let rows =
            self.query("read a batch", &self.statements.batch_ending_at, &parameters).await?;
        let head = rows.first().map(|row| head_of(shard, row)).transpose()?;
        Ok(head.map(|head| head.link).filter(|link| link.position == position))
    }

    /// The batches after `after`, verified: without a hole, and chained to it. At most about `events_max` events, but
    /// whole batches, and at least one if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is there cannot follow `after`; otherwise when the database fails.
    pub async fn read_after(
        &self,
        shard: Shard,
        after: &ChainLink,
        events_max: usize,
    ) -> Result<Vec<RecordedBatch>, Error> {
        let limit = i64::try_from(events_max.max(1)).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &shard.get(),
            /* $2 position */ &after.position.get(),
            /* $3 limit */ &limit,
        ];
        // Both are sent at once. The second sees at least what the first saw, because nothing is ever deleted.
        let (batches, events) = futures::try_join!(
            self.query("read batches", &self.statements.batches_after, &parameters),
            self.query("read events", &self.statements.events_after, &parameters),
        )?;
        let Some(first) = batches.first() else {
            return Ok(Vec::new());
        };
        let first_last: i64 = get(shard, first, 1)?;
        let count = first_last - after.position.get();
        if i64::try_from(events.len()).unwrap_or(i64::MAX) < count && count > limit {
            // A batch larger than the page: read it whole, or nothing would ever move.
            let parameters: [&(dyn ToSql + Sync); 3] =
                [&shard.get(), &after.position.get(), &count];
            let events =
                self.query("read events", &self.statements.events_after, &parameters).await?;
            return verify(shard, after, &batches[..1], &events);
        }
        verify(shard, after, &batches, &events)
    }

    /// What was said when accounts were opened.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn openings(
        &self,
        shard: Shard,
        numbers: &[AccountNumber],
    ) -> Result<HashMap<AccountNumber, OpenedAccount>, Error> {
        let numbers: Vec<i32> = numbers.iter().map(|number| number.get()).collect();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 accounts */ &numbers];
        let rows = self.query("read openings", &self.statements.openings, &parameters).await?;
        rows.iter().map(|row| opened_of(shard, row)).collect()
    }

    /// The next `limit` accounts by number after `after`, as they stood after their last row at or before `upto`.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn accounts_after(
        &self,
        shard: Shard,
        after: Option<AccountNumber>,
        upto: Position,
        limit: i32,
    ) -> Result<Vec<AccountRecord>, Error> {
        let after = after.map_or(0, AccountNumber::get);
        let parameters: [&(dyn ToSql + Sync); 4] = [
            /* $1 shard */ &shard.get(),
            /* $2 after */ &after,
            /* $3 upto */ &upto.get(),
            /* $4 limit */ &limit,
        ];
        let rows =
            self.query("read accounts", &self.statements.accounts_after, &parameters).await?;
        rows.iter().map(|row| record_of(shard, row)).collect()
    }

    /// Accounts as they stood at given versions. Versions that do not exist are left out.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn states_at(
        &self,
        shard: Shard,
        versions: &[(AccountNumber, StreamVersion)],
    ) -> Result<Vec<AccountRecord>, Error> {
        let (accounts, versions): (Vec<i32>, Vec<i64>) =
            versions.iter().map(|(account, version)| (account.get(), version.get())).unzip();
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &shard.get(),
            /* $2 accounts */ &accounts,
            /* $3 versions */ &versions,
        ];
        let rows = self.query("read states", &self.statements.states_at, &parameters).await?;
        rows.iter().map(|row| record_of(shard, row)).collect()
    }

    /// The events at given positions. Positions that do not exist are left out.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn events_at(
        &self,
        shard: Shard,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        let positions: Vec<i64> = positions.iter().map(|position| position.get()).collect();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 positions */ &positions];
        let rows =
            self.query("read events by position", &self.statements.events_at, &parameters).await?;
        rows.iter().map(|row| recorded_with_time(shard, row)).collect()
    }
}

/// Checks batches and their events against the batch before, and puts them together.
fn verify(
    shard: Shard,
    after: &ChainLink,
    batches: &[Row],
    events: &[Row],
) -> Result<Vec<RecordedBatch>, Error> {
    let mut link = *after;
    let mut recorded = Vec::with_capacity(batches.len());
    let mut events = events;
    for batch in batches {
        let first = position(shard, get(shard, batch, 0)?)?;
        let last = position(shard, get(shard, batch, 1)?)?;
        if first != link.position.plus(1) || last < first {
            return Err(Error::corrupt(
                shard,
                link.position.plus(1),
                format!("the next batch begins at {first}"),
            ));
        }
        let count = usize::try_from(last.get() - first.get() + 1).unwrap_or(usize::MAX);
        let Some((rows, rest)) = events.split_at_checked(count) else {
            let last_read = events.last().map(|row| get::<i64>(shard, row, 0)).transpose()?;
            if last_read.is_some_and(|read| read >= last.get())
                || (recorded.is_empty() && events.len() < count)
            {
                return Err(Error::corrupt(
                    shard,
                    first,
                    format!("the batch {first} to {last} lacks rows"),
                ));
            }
            break; // the page ends inside this batch
        };
        events = rest;
        let batch = verify_batch(shard, &link, batch, (first, last), rows)?;
        link = batch.link;
        recorded.push(batch);
    }
    Ok(recorded)
}

fn verify_batch(
    shard: Shard,
    previous: &ChainLink,
    batch: &Row,
    (first, last): (Position, Position),
    rows: &[Row],
) -> Result<RecordedBatch, Error> {
    let recorded_at = get::<SqlTime>(shard, batch, 2)?.0;
    let (accounts, format): (i32, i16) = (get(shard, batch, 4)?, get(shard, batch, 5)?);
    if format != FORMAT {
        return Err(Error::Settings(format!(
            "batch {first} has format {format}, which is of a later version"
        )));
    }
    let mut plain = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    let mut expected = first;
    for row in rows {
        let at: i64 = get(shard, row, 0)?;
        if at != expected.get() {
            return Err(Error::corrupt(shard, expected, format!("the next row is {at}")));
        }
        let columns = event_row(shard, row)?;
        events.push(recorded_event(shard, expected, recorded_at, &columns)?);
        plain.push(columns);
        expected = expected.plus(1);
    }
    let attempt = get(shard, batch, 3)?;
    let input = DigestInput { previous: &previous.digest, attempt, shard, first, accounts };
    let digest = chain::digest(&input, &plain);
    let link = ChainLink {
        position: last,
        digest,
        hash: chain::hash(&previous.hash, &digest, first, last, recorded_at),
    };
    if get::<&[u8]>(shard, batch, 6)? != digest {
        return Err(Error::corrupt(
            shard,
            first,
            format!("the rows {first} to {last} do not match their digest"),
        ));
    }
    if get::<&[u8]>(shard, batch, 7)? != link.hash {
        return Err(Error::corrupt(
            shard,
            first,
            format!("the batch {first} to {last} does not match its hash"),
        ));
    }
    Ok(RecordedBatch { shard, first_position: first, recorded_at, link, accounts, events })
}

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

fn position(shard: Shard, number: i64) -> Result<Position, Error> {
    Position::new(number)
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
fn event_row(shard: Shard, row: &Row) -> Result<EventRow, Error> {
    Ok(EventRow {
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
    let recorded_at = get::<SqlTime>(shard, row, 22)?.0;
    recorded_event(shard, at, recorded_at, &event_row(shard, row)?)
}

fn recorded_event(
    shard: Shard,
    position: Position,
    recorded_at: Timestamp,
    row: &EventRow,
) -> Result<RecordedEvent, Error> {
    let unknown =
        |unknown: crate::row::RowUnknown| Error::corrupt(shard, position, unknown.to_string());
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
    let columns = EventRow {
        account: get(shard, row, 0)?,
        account_id: get(shard, row, 1)?,
        owner_id: get(shard, row, 2)?,
        currency: get(shard, row, 3)?,
        details: get(shard, row, 4)?,
        ..EventRow::default()
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
    let columns = EventRow {
        version: get(shard, row, 6)?,
        balance: get(shard, row, 7)?,
        held: get(shard, row, 8)?,
        overdraft_limit: get(shard, row, 9)?,
        status: get(shard, row, 10)?,
        ..EventRow::default()
    };
    columns.state().map_err(|row| Error::corrupt(shard, Position::ZERO, row.to_string()))
}

fn record_of(shard: Shard, row: &Row) -> Result<AccountRecord, Error> {
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

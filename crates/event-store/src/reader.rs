//! Reading the log: batch by batch, verified, and account by account.

use std::{collections::HashMap, sync::Arc};

use ledger::{
    AccountId, AccountNumber, AccountState, LogId, Opening, Position, Shard, StreamVersion,
    Timestamp,
};
use tokio_postgres::{Row, Statement, types::ToSql};

use crate::{
    Error, RecordedEvent,
    chain::{ChainLink, Head, LogIdentity},
    connect::{Connection, Purpose, answer_in_time, connect},
    decode::{get, head_of, identity_of, opened_of, record_of, recorded_with_time},
    verify::verify,
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
    openings_by_id: Statement,
    accounts_after: Statement,
    states_at: Statement,
    events_at: Statement,
}

impl LogReader {
    /// Connects as the projector's role.
    ///
    /// # Errors
    /// When the database cannot be reached or lacks the schema, or its synchronous standbys are away.
    pub async fn connect(database_url: &str, application_name: &str) -> Result<Self, Error> {
        Self::connect_as(database_url, application_name, Purpose::Read).await
    }

    /// The same, to be read by [`crate::LogCopy`], which lets an answer wait while what it has given is stored.
    ///
    /// # Errors
    /// As [`LogReader::connect`].
    pub async fn connect_to_copy(
        database_url: &str,
        application_name: &str,
    ) -> Result<Self, Error> {
        Self::connect_as(database_url, application_name, Purpose::ReadSlowly).await
    }

    pub(crate) async fn connect_as(
        url: &str,
        application_name: &str,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let connection = connect(url, application_name, purpose).await?;
        // A server that has crashed shows what its standbys may not have, and what a failover would then take back. While it runs it
        // shows no more than they have, unless somebody ends what waits for them.
        connection.standbys_have_it_in_turn().await?;
        let prepare = async |sql: &str| {
            answer_in_time("prepare to read the log", connection.client.prepare(sql)).await
        };
        let statements = Statements {
            head: prepare(include_str!("../sql/head.sql")).await?,
            batch_ending_at: prepare(include_str!("../sql/batch_ending_at.sql")).await?,
            batches_after: prepare(include_str!("../sql/batches_after.sql")).await?,
            events_after: prepare(include_str!("../sql/events_after.sql")).await?,
            openings: prepare(include_str!("../sql/openings.sql")).await?,
            openings_by_id: prepare(include_str!("../sql/openings_by_id.sql")).await?,
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
        answer_in_time(doing, self.connection.client.query(statement, parameters)).await
    }

    /// Which log this is, now.
    ///
    /// # Errors
    /// When the database fails or the log was never created.
    pub async fn identity(&self) -> Result<LogIdentity, Error> {
        let question = self.connection.client.query(include_str!("../sql/identity.sql"), &[]);
        let rows = answer_in_time("read which log this is", question).await?;
        let row =
            rows.first().ok_or_else(|| Error::Settings("the log was never created".into()))?;
        identity_of(row)
    }

    /// Whether this server is a copy of another: its head proves nothing about the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_standby(&self) -> Result<bool, Error> {
        let question = self.connection.client.query_one("SELECT pg_is_in_recovery()", &[]);
        Ok(answer_in_time("ask whether the server is a standby", question).await?.get(0))
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

    /// Every name the log has had, with the number of its incarnation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incarnations(&self) -> Result<Vec<(i32, LogId)>, Error> {
        let question = self.connection.client.query(include_str!("../sql/incarnations.sql"), &[]);
        let rows = answer_in_time("read the names of the log", question).await?;
        Ok(rows.iter().map(|row| (row.get(0), LogId(row.get(1)))).collect())
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
            self.batches_after(&parameters),
            self.query("read events", &self.statements.events_after, &parameters),
        )?;
        let Some(first) = batches.first() else {
            return Ok(Vec::new());
        };
        let first_last: i64 = get(shard, first, 1)?;
        let count = first_last.saturating_sub(after.position.get());
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

    /// Rows of `batches`. Parameters as in `batches_after.sql`.
    pub(crate) async fn batches_after(
        &self,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.query("read batches", &self.statements.batches_after, parameters).await
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

    /// What was said when accounts were opened, by their ids. Ids that nobody has are left out.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn openings_by_id(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, OpenedAccount>, Error> {
        let ids: Vec<&str> = ids.iter().map(AccountId::as_str).collect();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 account ids */ &ids];
        let rows =
            self.query("read openings by id", &self.statements.openings_by_id, &parameters).await?;
        let openings = rows.iter().map(|row| {
            let (_, opened) = opened_of(shard, row)?;
            Ok((opened.opening.account_id.clone(), opened))
        });
        openings.collect()
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

//! What the write-service reads: accounts it has not in memory, and commands that may be old.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ledger::{
    AccountId, AccountNumber, AccountState, Opening, Position, RequestId, Shard, Timestamp,
};
use tokio_postgres::{Statement, types::ToSql};

use crate::{
    Error, LogReader, RecordedEvent,
    chain::Head,
    connect::{Purpose, answer_in_time},
    decode::{borrowed_row, opened_of, recorded_with_time, state_of},
    details::BatchExtent,
    reader::OpenedAccount,
};

/// An account as it stands in the log.
#[derive(Debug, Clone)]
pub struct LoadedAccount {
    /// Its number in the shard.
    pub number: AccountNumber,
    /// What never changes about it.
    pub opening: Arc<Opening>,
    /// When the opening was recorded.
    pub opened_at: Timestamp,
    /// How it stands.
    pub state: AccountState,
}

/// One side of a command that is in the log.
#[derive(Debug, Clone)]
pub struct StoredSide {
    /// The event.
    pub event: RecordedEvent,
    /// The account it is about.
    pub account: OpenedAccount,
}

/// What is in the log under a request id.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all are commands")]
pub enum StoredOutcome {
    /// A command.
    Command {
        /// Its first event.
        first: StoredSide,
        /// Of a transfer, the destination's event.
        second: Option<StoredSide>,
    },
    /// An atomic batch: all of its events, by shard, in order.
    Batch(BTreeMap<Shard, Vec<StoredSide>>),
}

/// The write-service's reading connection.
#[derive(Debug)]
pub struct WriterReads {
    log: LogReader,
    load_accounts: Statement,
    outcomes: Statement,
}

impl WriterReads {
    /// Connects as the writer's role.
    ///
    /// # Errors
    /// When the database cannot be reached or lacks the schema.
    pub async fn connect(url: &str, application_name: &str) -> Result<Self, Error> {
        let log = LogReader::connect_as(url, application_name, Purpose::WriterRead).await?;
        let prepare = async |sql: &str| {
            answer_in_time("prepare to read accounts", log.connection.client.prepare(sql)).await
        };
        let load_accounts = prepare(include_str!("../sql/load_accounts.sql")).await?;
        let outcomes = prepare(include_str!("../sql/outcomes.sql")).await?;
        Ok(Self { log, load_accounts, outcomes })
    }

    /// The log as everybody reads it.
    #[must_use]
    pub fn log(&self) -> &LogReader {
        &self.log
    }

    /// Loads accounts; those that do not exist are left out. The head was read before them, so they include at least
    /// everything up to it.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn load(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<(Option<Head>, Vec<LoadedAccount>), Error> {
        let ids: Vec<&str> = ids.iter().map(AccountId::as_str).collect();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 account_ids */ &ids];
        // Sent at once, run in this order.
        let (head, rows) = futures::try_join!(
            self.log.head(shard),
            self.log.query("load accounts", &self.load_accounts, &parameters),
        )?;
        let accounts = rows.iter().map(|row| {
            let (number, OpenedAccount { opening, opened_at }) = opened_of(shard, row)?;
            Ok(LoadedAccount { number, opening, opened_at, state: state_of(shard, row)? })
        });
        Ok((head, accounts.collect::<Result<_, Error>>()?))
    }

    /// The head, and which of the commands are in the log, as durable as an append that was answered. The head was read
    /// first: what is not found was not there at it.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn outcomes(
        &self,
        shard: Shard,
        ids: &[RequestId],
    ) -> Result<(Option<Head>, HashMap<RequestId, StoredOutcome>), Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shard */ &shard.get(), /* $2 request_ids */ &ids];
        let (head, rows) = futures::try_join!(
            self.log.head(shard),
            self.log.query("look commands up", &self.outcomes, &parameters),
        )?;
        if !rows.is_empty() {
            self.log.connection.standbys_have_it().await?;
        }
        let mut outcomes = HashMap::with_capacity(rows.len());
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let event = recorded_with_time(shard, row)?;
            let batch = borrowed_row(shard, row)?.batch();
            let batch = batch.map_err(|why| Error::corrupt(shard, event.position, why.to_string()));
            match (event.request_id, batch?) {
                (Some(request_id), Some(extents)) => {
                    outcomes.insert(request_id, self.batch(&extents).await?);
                }
                _ => events.push(event),
            }
        }
        let firsts = self.with_accounts(shard, events).await?;
        let mut peers = self.peers_of(&firsts).await?;
        for first in firsts {
            let Some(request_id) = first.event.request_id else {
                continue;
            };
            let second = first.event.peer.and_then(|peer| peers.remove(&peer));
            outcomes.insert(request_id, StoredOutcome::Command { first, second });
        }
        Ok((head, outcomes))
    }

    async fn batch(&self, extents: &[BatchExtent]) -> Result<StoredOutcome, Error> {
        let mut sides = BTreeMap::new();
        for &BatchExtent { shard, first, rows } in extents {
            if rows > BatchExtent::ROWS_MAX {
                return Err(Error::corrupt(
                    shard,
                    first,
                    "a batch that begins here claims too many rows",
                ));
            }
            let positions: Vec<Position> =
                (0..rows).map(|place| first.plus(place as usize)).collect();
            let mut events = self.log.events_at(shard, &positions).await?;
            if events.len() != positions.len() {
                return Err(Error::corrupt(shard, first, "a batch that begins here lacks rows"));
            }
            events.sort_by_key(|event| event.position);
            sides.insert(shard, self.with_accounts(shard, events).await?);
        }
        Ok(StoredOutcome::Batch(sides))
    }

    async fn peers_of(
        &self,
        firsts: &[StoredSide],
    ) -> Result<HashMap<(Shard, Position), StoredSide>, Error> {
        let mut by_shard: HashMap<Shard, Vec<Position>> = HashMap::new();
        for (shard, position) in firsts.iter().filter_map(|first| first.event.peer) {
            by_shard.entry(shard).or_default().push(position);
        }
        let mut peers = HashMap::new();
        for (shard, positions) in by_shard {
            let events = self.log.events_at(shard, &positions).await?;
            for side in self.with_accounts(shard, events).await? {
                peers.insert((shard, side.event.position), side);
            }
        }
        Ok(peers)
    }

    async fn with_accounts(
        &self,
        shard: Shard,
        events: Vec<RecordedEvent>,
    ) -> Result<Vec<StoredSide>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut numbers: Vec<AccountNumber> = events.iter().map(|event| event.account).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let openings = self.log.openings(shard, &numbers).await?;
        events
            .into_iter()
            .map(|event| match openings.get(&event.account) {
                Some(account) => Ok(StoredSide { account: account.clone(), event }),
                None => {
                    Err(Error::corrupt(shard, event.position, "the row's account was never opened"))
                }
            })
            .collect()
    }
}

//! The writer half: what projectors do. Every write is a script that first makes sure that things stand as the
//! caller thinks.

mod commit;
mod fill;
mod generation;
mod orphans;
mod repair;

pub use commit::Page;
pub use fill::Chunk;
pub use generation::{RebuildRequest, SwapOutcome};
pub use repair::{Repair, Replacement};

use ledger::{Shard, ShardCount};

use crate::{
    Checkpoint, Error, Generation, HeadStamp, Keyspace, LogRecord, ShardTotals, StoreConfig, View,
    ViewStatus,
    connection::Connection,
    policy::PolicyCheck,
    reader::{BrokenPointers, milliseconds, view_status},
    script,
};

/// How long nobody must have spoken for another log before ours may take its Redis: some missed renewals, and a
/// failover.
const CLAIM_SILENCE_MS: i64 = 10_000;

/// First byte, counted from 1, and length of the part of a log record that names the log it was created as.
const FIRST_LOG_ID: (usize, usize) = (18, 16);

/// The time at the end of a log record, which the script writes.
const RENEWED_AT_BYTES: usize = 8;

/// Writes the read model over one shared connection; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    connection: Connection,
    policy: PolicyCheck,
    keys: Keyspace,
}

impl Writer {
    /// Connects, and makes sure that this Redis keeps what it is given.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::KeyPrefix`], [`Error::Unavailable`], [`Error::Evicting`].
    pub async fn connect(config: &StoreConfig) -> Result<Self, Error> {
        let writer = Self::new(config)?;
        writer.check().await?;
        Ok(writer)
    }

    /// Does not connect yet: the first use does.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::KeyPrefix`].
    pub fn new(config: &StoreConfig) -> Result<Self, Error> {
        let connection = Connection::new(config)?;
        let keys = Keyspace::new(&config.key_prefix)?;
        Ok(Self { connection, policy: PolicyCheck::default(), keys })
    }

    /// Whether Redis answers and keeps what it is given.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Evicting`].
    pub async fn check(&self) -> Result<(), Error> {
        self.policy.run(&self.connection).await
    }

    /// Redis's clock in milliseconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn now_ms(&self) -> Result<i64, Error> {
        let time = self.connection.command("read Redis's clock", &redis::cmd("TIME")).await?;
        Ok(milliseconds(time))
    }

    /// Says that this read model is of that log. To be said again and again.
    ///
    /// # Errors
    /// [`Error::OtherLog`] while projectors of another log are alive; [`Error::Unavailable`].
    pub async fn claim(&self, record: &LogRecord) -> Result<(), Error> {
        let mut ours = record.encode();
        ours.truncate(ours.len().saturating_sub(RENEWED_AT_BYTES));
        let (first, length) = FIRST_LOG_ID;
        let owner: Vec<u8> = script::CLAIM
            .on(&[self.keys.log()])
            .arg(ours)
            .arg(first)
            .arg(length)
            .arg(CLAIM_SILENCE_MS)
            .run("claim Redis for a log", &self.connection)
            .await?;
        let owner = LogRecord::decode(&owner)
            .map_err(|malformed| Error::malformed(View::Accounts, Shard::ZERO, &malformed))?;
        if owner.log_id == record.log_id {
            return Ok(());
        }
        Err(Error::OtherLog { owner: owner.log_id })
    }

    /// How a view stands on a shard: all its generations and their checkpoints, at one moment. Pointers that cannot be any
    /// are forgotten: what they pointed at is lost, as if they had been.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn status(&self, view: View, shard: Shard) -> Result<ViewStatus, Error> {
        let (status, broken) = view_status(&self.connection, &self.keys, view, shard).await?;
        let names = self.keys.view(view, shard);
        let BrokenPointers { visible, building, retired } = broken;
        let pointers =
            [(names.visible(), visible), (names.building(), building), (names.retired(), retired)];
        for (key, held) in pointers {
            if let Some(held) = held
                && self.forget(&key, &held).await?
            {
                let held = String::from_utf8_lossy(&held);
                tracing::error!(key, %held, "a pointer that cannot be one is forgotten");
            }
        }
        Ok(status)
    }

    /// Removes a key that still holds what it was seen to hold (`[]`: is still no string).
    async fn forget(&self, key: &str, held: &[u8]) -> Result<bool, Error> {
        let call = script::FORGET.on(&[key.to_owned()]).arg(held);
        let forgotten: i64 = call.run("forget a key", &self.connection).await?;
        Ok(forgotten == 1)
    }

    /// The totals of a generation and the checkpoint they belong to, in one step: they are folded on from
    /// exactly there.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the checkpoint is gone; [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn totals(
        &self,
        shard: Shard,
        generation: Generation,
    ) -> Result<(Checkpoint, ShardTotals), Error> {
        let doing = "read the totals";
        let names = self.keys.view(View::Totals, shard).generation(generation);
        let mut get = redis::cmd("MGET");
        get.arg(names.checkpoint()).arg(names.totals());
        let (checkpoint, totals): (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.connection.command(doing, &get).await?;
        let checkpoint = checkpoint.ok_or(Error::Conflict { doing })?;
        let unreadable = |malformed| Error::malformed(View::Totals, shard, &malformed);
        let checkpoint = Checkpoint::decode(&checkpoint).map_err(unreadable)?;
        let contradiction =
            |what: &str| Error::Inconsistent { view: View::Totals, shard, what: what.to_owned() };
        let totals = match totals {
            Some(totals) => ShardTotals::decode(&totals).map_err(unreadable)?,
            None if checkpoint.position == ledger::Position::ZERO => ShardTotals::default(),
            None => return Err(contradiction("the totals are missing")),
        };
        if totals.position.is_some_and(|position| position > checkpoint.position) {
            return Err(contradiction("the totals are ahead of their checkpoint"));
        }
        Ok((checkpoint, totals))
    }

    /// Stores the end of a shard of the log as it was seen.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn stamp_heads(&self, stamps: &[(Shard, HeadStamp)]) -> Result<(), Error> {
        let mut pipeline = redis::pipe();
        for (shard, stamp) in stamps {
            pipeline.cmd("SET").arg(self.keys.head(*shard)).arg(stamp.encode()).ignore();
        }
        self.connection.pipeline("stamp the heads", &pipeline).await
    }

    /// Every view on every shard.
    pub(crate) fn all_views(shards: ShardCount) -> impl Iterator<Item = (View, Shard)> {
        shards.shards().flat_map(|shard| View::ALL.map(|view| (view, shard)))
    }
}

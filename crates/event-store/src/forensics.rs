//! Looking at a log that does not add up: what stands where nothing may, and what broken batches say of themselves.
//!
//! Nothing here is verified; whoever reads a log to go on with it has [`LogReader::read_after`].

use std::collections::BTreeMap;

use ledger::{Position, Shard, ShardCount};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    Error, LogReader,
    connect::answer_in_time,
    decode::{POSITION_MAX, get, position},
    details::{BatchExtent, split_batch},
};

/// So many of a kind show what happened.
const STRAYS_MAX: i64 = 100;

/// So many blocks of the table are counted by one statement: 32 MiB, long before its answer is missed.
const COUNTED_BLOCKS: i64 = 4096;
/// No table has so many blocks. The last statement counts up to here, so that what was added meanwhile is in it.
const BLOCKS_MAX: i64 = u32::MAX as i64;
/// So many positions are counted together: what is kept of a large log is small, and where one counts too many, they can be
/// looked at one by one.
const STRETCH: i64 = 65_536;
/// So many stretches with too many rows show what happened; each is looked at by itself.
const CROWDS_MAX: usize = 20;

/// What a batch says of itself, as far as it can be read.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Where it says it begins.
    pub first: i64,
    /// Where it says it ends.
    pub last: i64,
    /// Its digest, if it is one.
    pub digest: Option<[u8; 32]>,
    /// Its hash, if it is one.
    pub hash: Option<[u8; 32]>,
}

/// Something that stands where nothing of the log can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// `row` or `batch`.
    pub kind: String,
    /// The shard it says it is in; there may be none of that number.
    pub shard: i16,
    /// Where it says it stands or begins.
    pub position: i64,
}

/// Something about a table that is not as the migrations made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The table's name.
    pub table: String,
    /// What is wrong with it.
    pub what: String,
}

/// Positions of a shard with more rows than positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowd {
    /// The shard.
    pub shard: Shard,
    /// The first of the positions.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// So many rows there are more.
    pub more: i64,
    /// The positions at which several rows stand, and how many. Not all of them if there are masses, or if an index hides them.
    pub taken_twice: Vec<(i64, i64)>,
}

impl LogReader {
    /// The next batches after a place, unverified.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claims_after(
        &self,
        shard: Shard,
        after: Position,
        limit: i64,
    ) -> Result<Vec<Claim>, Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &shard.get(),
            /* $2 position */ &after.get(),
            /* $3 limit */ &limit,
        ];
        let rows = self
            .ask("read what batches say", include_str!("../sql/claims_after.sql"), &parameters)
            .await?;
        rows.iter().map(|row| claim_of(shard, row)).collect()
    }

    /// How many batches begin after one place and not after another.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_batches(
        &self,
        shard: Shard,
        after: Position,
        upto: Position,
    ) -> Result<i64, Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &shard.get(),
            /* $2 after */ &after.get(),
            /* $3 upto */ &upto.get(),
        ];
        let rows = self
            .ask("count batches", include_str!("../sql/count_batches.sql"), &parameters)
            .await?;
        rows.first().map_or(Ok(0), |row| get(shard, row, 0))
    }

    /// Where the atomic batches that are found by rows from one position to another say that their rows are.
    ///
    /// # Errors
    /// When the database fails or a row cannot be understood.
    pub async fn batch_marks(
        &self,
        shard: Shard,
        first: Position,
        last: Position,
    ) -> Result<Vec<BatchExtent>, Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &shard.get(),
            /* $2 first */ &first.get(),
            /* $3 last */ &last.get(),
        ];
        let sql = include_str!("../sql/batch_marks.sql");
        let rows = self.ask("look for atomic batches", sql, &parameters).await?;
        let mut extents = Vec::new();
        for row in &rows {
            let position = position(shard, get(shard, row, 0)?)?;
            let batch = split_batch(get(shard, row, 1)?);
            let (batch, _) =
                batch.map_err(|unknown| Error::corrupt(shard, position, unknown.to_string()))?;
            extents.extend(batch.into_iter().flatten());
        }
        Ok(extents)
    }

    /// Rows and batches outside of all shards and batches: before the first position, behind the head, in a shard that the log
    /// does not have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strays(&self, shards: ShardCount) -> Result<Vec<Stray>, Error> {
        let parameters: [&(dyn ToSql + Sync); 2] =
            [/* $1 shards */ &shards.get(), /* $2 limit */ &STRAYS_MAX];
        let rows =
            self.ask("look for strays", include_str!("../sql/strays.sql"), &parameters).await?;
        let stray = |row: &Row| Stray { kind: row.get(0), shard: row.get(1), position: row.get(2) };
        Ok(rows.iter().map(stray).collect())
    }

    /// Tables of the log that do not refuse to be changed, because their trigger is off or gone, or is not the one that
    /// refuses everything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unguarded_tables(&self) -> Result<Vec<String>, Error> {
        let refuse_change = include_str!("../migrations/0003_append_only.sql").split("$$").nth(1);
        let parameters: [&(dyn ToSql + Sync); 1] =
            [/* $1 body of the function */ &refuse_change];
        let sql = include_str!("../sql/unguarded.sql");
        let rows = self.ask("look for the triggers", sql, &parameters).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// What of the tables is not as the migrations made it, so that two rows may stand at one place, some are hidden, values may
    /// come in that cannot be, others may change them, or events are called something else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn misfits(&self) -> Result<Vec<Misfit>, Error> {
        let sql = include_str!("../sql/structure.sql");
        let mut rows = self.ask("look at the tables", sql, &[]).await?;
        // A table that is gone or hides its rows is a misfit already.
        let readable = "SELECT FROM pg_class WHERE oid = to_regclass('counterfoil.event_types') AND NOT relrowsecurity";
        if !self.ask("look for the kinds of events", readable, &[]).await?.is_empty() {
            let sql = include_str!("../sql/event_types.sql");
            let limit: [&(dyn ToSql + Sync); 1] = [/* $1 limit */ &STRAYS_MAX];
            rows.extend(self.ask("look at the kinds of events", sql, &limit).await?);
        }
        Ok(rows.iter().map(|row| Misfit { table: row.get(0), what: row.get(1) }).collect())
    }

    /// For whom a setting that is there to stay keeps triggers from firing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn triggers_off_for(&self) -> Result<Vec<String>, Error> {
        let sql = include_str!("../sql/triggers_off.sql");
        let rows = self.ask("look for settings that keep triggers from firing", sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Incarnations that say they have another number of shards than the newest, which is for life.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn other_shard_counts(&self, shards: ShardCount) -> Result<Vec<(i32, i16)>, Error> {
        let sql = include_str!("../sql/shard_counts.sql");
        let parameters: [&(dyn ToSql + Sync); 1] = [/* $1 shards */ &shards.get()];
        let rows = self.ask("read how many shards there are", sql, &parameters).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Where more rows stand than there are positions, up to where each shard ends. Reads the table once, block by block: a page of
    /// the log ends behind the first row at its last position, and never sees another one there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn crowds(&self, ends: &[(Shard, Position)]) -> Result<Vec<Crowd>, Error> {
        let found = self.count_crowds(ends).await?;
        if found.is_empty() {
            return Ok(found);
        }
        // Whoever packs the table meanwhile (VACUUM FULL) moves rows to blocks that are still to be counted.
        let again = self.count_crowds(ends).await?;
        let mut crowds: Vec<Crowd> =
            again.into_iter().filter(|crowd| found.contains(crowd)).collect();
        for crowd in &mut crowds {
            let parameters: [&(dyn ToSql + Sync); 4] = [
                /* $1 shard */ &crowd.shard.get(),
                /* $2 first */ &crowd.first,
                /* $3 last */ &crowd.last,
                /* $4 limit */ &STRAYS_MAX,
            ];
            let sql = include_str!("../sql/taken_twice.sql");
            let rows = self.ask("look for places taken twice", sql, &parameters).await?;
            crowd.taken_twice = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        }
        Ok(crowds)
    }

    async fn count_crowds(&self, ends: &[(Shard, Position)]) -> Result<Vec<Crowd>, Error> {
        let sql = include_str!("../sql/events_blocks.sql");
        let rows = self.ask("ask how large the log is", sql, &[]).await?;
        let Some(blocks) = rows.first().map(|row| row.get::<_, i64>(0)) else {
            return Ok(Vec::new()); // something that is no table has no blocks, and is a misfit
        };
        let end_of: BTreeMap<i16, i64> =
            ends.iter().map(|(shard, end)| (shard.get(), end.get())).collect();
        let shards_end: Vec<i64> = end_of.values().copied().collect();
        let mut counts: BTreeMap<(i32, i64), i64> = BTreeMap::new();
        let mut from = 0;
        while from < BLOCKS_MAX {
            let next = from.saturating_add(COUNTED_BLOCKS);
            let upto = if next < blocks { next } else { BLOCKS_MAX };
            let parameters: [&(dyn ToSql + Sync); 4] = [
                /* $1 first block */ &from,
                /* $2 behind the last */ &upto,
                /* $3 ends */ &shards_end,
                /* $4 stretch */ &STRETCH,
            ];
            let rows =
                self.ask("count rows", include_str!("../sql/count_rows.sql"), &parameters).await?;
            for row in &rows {
                *counts.entry((row.get(0), row.get(1))).or_default() += row.get::<_, i64>(2);
            }
            from = upto;
        }
        let crowd = |((shard, stretch), rows): ((i32, i64), i64)| {
            let shard = Shard::new(i16::try_from(shard).ok()?)?;
            let first = stretch * STRETCH + 1;
            let last = (first + STRETCH - 1).min(*end_of.get(&shard.get())?);
            let more = rows - (last - first + 1);
            (more > 0).then(|| Crowd { shard, first, last, more, taken_twice: Vec::new() })
        };
        Ok(counts.into_iter().filter_map(crowd).take(CROWDS_MAX).collect())
    }

    /// Statements that are rarely used, and not prepared for that.
    async fn ask(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        answer_in_time(doing, self.connection.client.query(sql, parameters)).await
    }
}

impl Claim {
    /// The last position that may belong to it: where the batch after it begins says more than it does itself.
    #[must_use]
    pub fn end(&self, next: Option<&Self>) -> Position {
        let end = next.map_or(self.last, |next| next.first - 1).max(self.first);
        Position::new(end.clamp(0, POSITION_MAX)).unwrap_or(Position::ZERO)
    }
}

fn claim_of(shard: Shard, row: &Row) -> Result<Claim, Error> {
    let hash = |column| -> Result<Option<[u8; 32]>, Error> {
        Ok(get::<Option<&[u8]>>(shard, row, column)?.and_then(|bytes| bytes.try_into().ok()))
    };
    Ok(Claim {
        first: get(shard, row, 0)?,
        last: get::<Option<i64>>(shard, row, 1)?.unwrap_or(0),
        digest: hash(2)?,
        hash: hash(3)?,
    })
}

//! Looking at a log that does not add up: what stands where nothing may, and what broken batches say of themselves.
//!
//! Nothing here is verified; whoever reads a log to go on with it has [`LogReader::read_after`].

use ledger::{Position, Shard, ShardCount};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    Error, LogReader,
    connect::answer_in_time,
    decode::{POSITION_MAX, get},
};

/// So many of a kind show what happened.
const STRAYS_MAX: i64 = 100;

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

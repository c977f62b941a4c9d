//! Checking what was read against the batch before it: no hole, and both chains.

use ledger::{Position, Shard, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Error,
    chain::{self, ChainLink, DigestInput, FORMAT},
    decode::{borrowed_row, get, position, recorded_event},
    reader::RecordedBatch,
    row::BorrowedRow,
    sql_types::SqlTime,
};

/// A row of `batches`, as it stands there.
#[derive(Debug)]
pub(crate) struct BatchRow {
    pub(crate) first: Position,
    pub(crate) last: Position,
    recorded_at: Timestamp,
    attempt: Uuid,
    accounts: i32,
    format: i16,
    digest: Vec<u8>,
    hash: Vec<u8>,
}

impl BatchRow {
    /// Columns as in `batches_after.sql`.
    pub(crate) fn read(shard: Shard, row: &Row) -> Result<Self, Error> {
        Ok(Self {
            first: position(shard, get(shard, row, 0)?)?,
            last: position(shard, get(shard, row, 1)?)?,
            recorded_at: get::<SqlTime>(shard, row, 2)?.0,
            attempt: get(shard, row, 3)?,
            accounts: get(shard, row, 4)?,
            format: get(shard, row, 5)?,
            digest: get(shard, row, 6)?,
            hash: get(shard, row, 7)?,
        })
    }

    /// How many rows it has, if it is the one after a position.
    pub(crate) fn count_after(&self, shard: Shard, after: Position) -> Result<usize, Error> {
        let (first, last) = (self.first, self.last);
        if first != after.plus(1) || last < first {
            let finding = format!("the next batch begins at {first}");
            return Err(Error::corrupt(shard, after.plus(1), finding));
        }
        Ok(usize::try_from(last.get() - first.get() + 1).unwrap_or(usize::MAX))
    }

    /// It does not have all of its rows.
    pub(crate) fn lacks_rows(&self, shard: Shard) -> Error {
        let finding = format!("the batch {} to {} lacks rows", self.first, self.last);
        Error::corrupt(shard, self.first, finding)
    }
}

/// Checks batches and their events against the batch before, and puts them together.
pub(crate) fn verify(
    shard: Shard,
    after: &ChainLink,
    batches: &[Row],
    events: &[Row],
) -> Result<Vec<RecordedBatch>, Error> {
    let mut link = *after;
    let mut recorded = Vec::with_capacity(batches.len());
    let mut events = events;
    let mut plain = Vec::new();
    for batch in batches {
        let batch = BatchRow::read(shard, batch)?;
        let count = batch.count_after(shard, link.position)?;
        let Some((rows, rest)) = events.split_at_checked(count) else {
            let last_read = events.last().map(|row| get::<i64>(shard, row, 0)).transpose()?;
            if last_read.is_some_and(|read| read >= batch.last.get())
                || (recorded.is_empty() && events.len() < count)
            {
                return Err(batch.lacks_rows(shard));
            }
            break; // the page ends inside this batch
        };
        events = rest;
        plain.clear();
        for row in rows {
            plain.push((get::<i64>(shard, row, 0)?, borrowed_row(shard, row)?));
        }
        let batch = verify_batch(shard, &link, &batch, &plain)?;
        link = batch.link;
        recorded.push(batch);
    }
    Ok(recorded)
}

/// Checks one batch and its rows, each with its position.
pub(crate) fn verify_batch(
    shard: Shard,
    previous: &ChainLink,
    batch: &BatchRow,
    rows: &[(i64, BorrowedRow<'_>)],
) -> Result<RecordedBatch, Error> {
    let BatchRow { first, last, recorded_at, attempt, accounts, format, .. } = *batch;
    if format != FORMAT {
        let finding = format!("the batch {first} to {last} has format {format}");
        return Err(Error::NotUnderstood { shard, position: first, finding });
    }
    let mut expected = first;
    for (at, _) in rows {
        if *at != expected.get() {
            return Err(Error::corrupt(shard, expected, format!("the next row is {at}")));
        }
        expected = expected.plus(1);
    }
    let input = DigestInput { previous: &previous.digest, attempt, shard, first, accounts };
    let digest = chain::digest_of(&input, rows.iter().map(|(_, columns)| *columns));
    let link = ChainLink {
        position: last,
        digest,
        hash: chain::hash(&previous.hash, &digest, first, last, recorded_at),
    };
    if batch.digest != digest {
        return Err(Error::corrupt(
            shard,
            first,
            format!("the rows {first} to {last} do not match their digest"),
        ));
    }
    if batch.hash != link.hash {
        return Err(Error::corrupt(
            shard,
            first,
            format!("the batch {first} to {last} does not match its hash"),
        ));
    }
    // Only now: a row that was edited is corrupt, one that is as it was written is at worst of a later version.
    let decoded = rows.iter().enumerate();
    let events =
        decoded.map(|(place, (_, row))| recorded_event(shard, first.plus(place), recorded_at, row));
    let events = events.collect::<Result<_, _>>()?;
    Ok(RecordedBatch { shard, first_position: first, recorded_at, link, accounts, events })
}

//! Checking what was read against the batch before it: no hole, and both chains.

use ledger::{Position, Shard};
use tokio_postgres::Row;

use crate::{
    Error,
    chain::{self, ChainLink, DigestInput, FORMAT},
    decode::{event_row, get, position, recorded_event},
    reader::RecordedBatch,
    sql_types::SqlTime,
};

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
    let mut expected = first;
    for row in rows {
        let at: i64 = get(shard, row, 0)?;
        if at != expected.get() {
            return Err(Error::corrupt(shard, expected, format!("the next row is {at}")));
        }
        plain.push(event_row(shard, row)?);
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
    // Only now: a row that was edited is corrupt, one that is as it was written is at worst of a later version.
    let decoded = plain.iter().enumerate();
    let events =
        decoded.map(|(place, row)| recorded_event(shard, first.plus(place), recorded_at, row));
    let events = events.collect::<Result<_, _>>()?;
    Ok(RecordedBatch { shard, first_position: first, recorded_at, link, accounts, events })
}

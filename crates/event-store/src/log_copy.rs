//! Reading all of the log after a place, as fast as Postgres gives it: for views that are built.
//!
//! COPY gives the same rows as [`LogReader::read_after`], verified alike, but as one stream that Postgres fills while it is
//! being read, and without a description of every value.

use std::{collections::VecDeque, pin::Pin, vec};

use bytes::Bytes;
use futures::{StreamExt as _, stream::ReadyChunks};
use ledger::{Position, Shard};
use postgres_types::{FromSql, Type};
use tokio_postgres::{CopyOutStream, types::ToSql};
use uuid::Uuid;

use crate::{
    Error,
    chain::ChainLink,
    connect::answer_in_time,
    reader::{LogReader, RecordedBatch},
    row::BorrowedRow,
    sql_types::SqlTime,
    verify::{BatchRow, verify_batch},
};

/// Batches looked up at once.
const BATCHES_MAX: i64 = 4096;

/// Events per COPY: beginning one costs about as much as some hundred rows, and while one lasts it keeps Postgres from
/// clearing away.
const COPY_EVENTS: usize = 100_000;

/// Rows taken from the connection at once.
const ROWS_AT_ONCE: usize = 512;

/// What a binary COPY begins with, before its flags and the length of what extends them.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The log after a place, batch by batch, on a connection of its own.
pub struct LogCopy {
    log: LogReader,
    shard: Shard,
    link: ChainLink,
    /// Batches that are known to be there.
    batches: VecDeque<BatchRow>,
    /// The events of as many of them.
    rows: Option<(Rows, usize)>,
}

impl LogCopy {
    /// Begins after a place in the log.
    #[must_use]
    pub fn new(log: LogReader, shard: Shard, after: ChainLink) -> Self {
        Self { log, shard, link: after, batches: VecDeque::new(), rows: None }
    }

    /// The next batch, verified. `None`: the log has no more.
    ///
    /// # Errors
    /// As [`LogReader::read_after`]. The batches before were right all the same.
    pub async fn next(&mut self) -> Result<Option<RecordedBatch>, Error> {
        if self.batches.is_empty() {
            self.look_up_batches().await?;
        }
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        let count = batch.count_after(self.shard, self.link.position)?;
        let (mut rows, batches_left) = match self.rows.take() {
            Some(rows) => rows,
            None => self.copy(&batch).await?,
        };
        let mut of_batch = Vec::with_capacity(count.min(COPY_EVENTS));
        while of_batch.len() < count {
            of_batch.push(rows.next().await?.ok_or_else(|| batch.lacks_rows(self.shard))?);
        }
        match batches_left {
            1 => rows.end(&batch).await?,
            _ => self.rows = Some((rows, batches_left - 1)),
        }
        let read = of_batch.iter().map(|row| Tuple::new(self.shard, row)?.read());
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let batch = verify_batch(self.shard, &self.link, &batch, &read)?;
        self.link = batch.link;
        Ok(Some(batch))
    }

    async fn look_up_batches(&mut self) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* $1 shard */ &self.shard.get(),
            /* $2 position */ &self.link.position.get(),
            /* $3 limit */ &BATCHES_MAX,
        ];
        let rows = self.log.batches_after(&parameters).await?;
        let batches = rows.iter().map(|row| BatchRow::read(self.shard, row));
        self.batches = batches.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Begins to read the events of a batch and of some after it; says of how many.
    async fn copy(&self, first: &BatchRow) -> Result<(Rows, usize), Error> {
        let (mut batches, mut last) = (1, first.last);
        let mut events = first.count_after(self.shard, self.link.position)?;
        for batch in &self.batches {
            // One that cannot follow is told of when it is its turn.
            let Ok(count) = batch.count_after(self.shard, last) else { break };
            events = events.saturating_add(count);
            if events > COPY_EVENTS {
                break;
            }
            (batches, last) = (batches + 1, batch.last);
        }
        let after = self.link.position;
        let copy = include_str!("../sql/copy_events.sql")
            .replace("$1", &self.shard.get().to_string())
            .replace("$2", &after.get().to_string())
            .replace("$3", &last.get().to_string());
        let stream = self.log.connection.client.copy_out(&copy);
        let stream = answer_in_time("begin to copy events", stream).await?;
        Ok((Rows::new(self.shard, stream), batches))
    }
}

/// The rows of one COPY.
struct Rows {
    shard: Shard,
    stream: ReadyChunks<Pin<Box<CopyOutStream>>>,
    ready: vec::IntoIter<Result<Bytes, tokio_postgres::Error>>,
    begun: bool,
}

impl Rows {
    fn new(shard: Shard, stream: CopyOutStream) -> Self {
        let stream = Box::pin(stream).ready_chunks(ROWS_AT_ONCE);
        Self { shard, stream, ready: Vec::new().into_iter(), begun: false }
    }

    /// The next row; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        const DOING: &str = "copy events";
        let message = loop {
            if let Some(message) = self.ready.next() {
                break message.map_err(|cause| Error::of(DOING, cause))?;
            }
            let more = async { Ok(self.stream.next().await) };
            match answer_in_time(DOING, more).await? {
                Some(ready) => self.ready = ready.into_iter(),
                None => return Ok(None),
            }
        };
        let row = if self.begun { message } else { self.begin(message)? };
        // The end is a row of -1 values.
        Ok((row[..] != (-1_i16).to_be_bytes()).then_some(row))
    }

    /// What comes before the first row comes with it.
    fn begin(&mut self, mut message: Bytes) -> Result<Bytes, Error> {
        let header = SIGNATURE.len() + 8;
        let is_ours = message.starts_with(SIGNATURE) && message[SIGNATURE.len()..].len() > 8;
        if !is_ours || message[SIGNATURE.len()..header] != [0; 8] {
            return Err(unreadable(self.shard, "the beginning of a COPY"));
        }
        self.begun = true;
        Ok(message.split_off(header))
    }

    /// Reads to the end, where nothing else may stand.
    async fn end(mut self, last: &BatchRow) -> Result<(), Error> {
        if let Some(row) = self.next().await? {
            let (at, _) = Tuple::new(self.shard, &row)?.read()?;
            let finding = format!("row {at} stands behind the batch that ends at {}", last.last);
            return Err(Error::corrupt(self.shard, last.last, finding));
        }
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// One row of a COPY: the number of its values, then each with its length before it.
struct Tuple<'a> {
    shard: Shard,
    rest: &'a [u8],
}

fn unreadable(shard: Shard, what: &str) -> Error {
    Error::corrupt(shard, Position::ZERO, format!("{what} cannot be read"))
}

impl<'a> Tuple<'a> {
    /// How many values there are in `copy_events.sql`.
    const VALUES: i16 = 22;

    fn new(shard: Shard, row: &'a [u8]) -> Result<Self, Error> {
        match row.split_first_chunk() {
            Some((count, rest)) if i16::from_be_bytes(*count) == Self::VALUES => {
                Ok(Self { shard, rest })
            }
            _ => Err(unreadable(shard, "a row")),
        }
    }

    /// The position, and all else.
    fn read(mut self) -> Result<(i64, BorrowedRow<'a>), Error> {
        let position = self.there(Self::int8)?;
        // In the order in which they stand in the row.
        let columns = BorrowedRow {
            version: self.there(Self::int8)?,
            balance: self.there(Self::int8)?,
            amount: self.int8()?,
            held: self.int8()?,
            overdraft_limit: self.int8()?,
            peer_position: self.int8()?,
            effective_at: self.time()?,
            account: i32::from_be_bytes(self.there(Self::fixed)?),
            event_type: self.there(Self::int2)?,
            status: self.there(Self::int2)?,
            peer_shard: self.int2()?,
            schema_version: self.int2()?,
            request_id: self.fixed()?.map(Uuid::from_bytes),
            account_id: self.text()?,
            owner_id: self.text()?,
            currency: self.text()?,
            reference: self.text()?,
            counterparty: self.text()?,
            actor: self.text()?,
            trace_context: self.value()?,
            details: self.value()?,
        };
        if self.rest.is_empty() { Ok((position, columns)) } else { Err(self.unreadable()) }
    }

    fn unreadable(&self) -> Error {
        unreadable(self.shard, "a value")
    }

    /// The next value; `None` is NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let (length, rest) = self.rest.split_first_chunk().ok_or_else(|| self.unreadable())?;
        self.rest = rest;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Ok(None) };
        let (value, rest) = rest.split_at_checked(length).ok_or_else(|| self.unreadable())?;
        self.rest = rest;
        Ok(Some(value))
    }

    /// A value that is never NULL.
    fn there<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        read(self)?.ok_or_else(|| self.unreadable())
    }

    fn fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        let Some(value) = self.value()? else { return Ok(None) };
        value.try_into().map(Some).map_err(|_| self.unreadable())
    }

    fn int8(&mut self) -> Result<Option<i64>, Error> {
        Ok(self.fixed()?.map(i64::from_be_bytes))
    }

    fn int2(&mut self) -> Result<Option<i16>, Error> {
        Ok(self.fixed()?.map(i16::from_be_bytes))
    }

    fn text(&mut self) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.value()? else { return Ok(None) };
        std::str::from_utf8(value).map(Some).map_err(|_| self.unreadable())
    }

    fn time(&mut self) -> Result<Option<ledger::Timestamp>, Error> {
        let Some(value) = self.value()? else { return Ok(None) };
        let time = SqlTime::from_sql(&Type::TIMESTAMPTZ, value);
        time.map(|time| Some(time.0)).map_err(|_| self.unreadable())
    }
}

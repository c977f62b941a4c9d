//! Appending to a log that nobody else writes to, without services: what a write-service can have of Postgres at most.

use std::iter;

use anyhow::{Context, ensure};
use event_store::{Appender, Attempt, EventRow, Head, LogIdentity, LogReader, ShardPart};
use ledger::Shard;

use super::{
    account::Dice,
    baseline::AMOUNT_MAX,
    job::{AppendWork, Job, LoadResult},
    pace::{self, Caller},
    texts::Texts,
};
use crate::deposit::deposit_row;

const NAME: &str = "counterfoil-bench/append";

/// Appends batches of deposits, each when the one before is answered.
pub(super) async fn run(job: &Job, work: AppendWork) -> anyhow::Result<LoadResult> {
    let log = LogReader::connect(&work.url, NAME).await.context("connect to the log")?;
    let identity = log.identity().await?;
    let shard = Shard::ZERO;
    let head = log.head(shard).await?.unwrap_or_else(|| identity.empty_head(shard));
    let appender = Appender::connect(&work.url, NAME).await.context("connect to append")?;
    let accounts = usize::try_from(work.accounts)?;
    let caller = Batches {
        appender,
        identity,
        head,
        rows: usize::try_from(work.rows)?,
        versions: iter::repeat_n(work.first_version, accounts).collect(),
        dice: Dice::new(),
        texts: Texts::of_statements()?,
    };
    pace::run(job, vec![caller]).await
}

struct Batches {
    appender: Appender,
    identity: LogIdentity,
    head: Head,
    /// Of each batch.
    rows: usize,
    /// The version that comes next, of each account.
    versions: Vec<i64>,
    dice: Dice,
    texts: Texts,
}

impl Caller for Batches {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let rows = (0..self.rows).map(|_| self.deposit()).collect::<anyhow::Result<_>>()?;
        let (shard, accounts) = (Shard::ZERO, self.head.accounts);
        let part = ShardPart { shard, expected: self.head, accounts, rows };
        let attempt = Attempt::new(self.identity.log_id, vec![part], None);
        let appended = self.appender.append(&attempt).await.context("append")?;
        ensure!(appended.len() == 1, "an append to one shard was answered for {}", appended.len());
        self.head = appended[0].head;
        Ok(u64::try_from(self.rows)?)
    }
}

impl Batches {
    fn deposit(&mut self) -> anyhow::Result<EventRow> {
        let index = self.dice.roll(u32::try_from(self.versions.len())?);
        let amount = i64::from(self.dice.roll(AMOUNT_MAX)) + 1;
        let text = self.texts.get(self.dice.roll(u32::MAX));
        let next = &mut self.versions[usize::try_from(index)?];
        let version = *next;
        *next += 1;
        Ok(deposit_row(i32::try_from(index)? + 1, version, (amount, amount), text))
    }
}

//! Filling a log quickly and validly: real rows, real states, real chains, through the event store's own append.

use anyhow::Context;
use event_store::{
    AppendError, Appended, Appender, Attempt, AttemptMark, EventRow, Head, LogIdentity, LogReader,
    ShardPart, migrate, row::event_type,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use ledger::{AccountId, Shard, ShardCount};
use uuid::Uuid;

use crate::{
    deposit::deposit_row,
    load::{Dice, Texts, account_id},
};

/// Rows per append: more gain little, and one append must be answered in seconds.
const BATCH_ROWS: usize = 2000;
/// Appends under way at once, so that Postgres works while the next batch is made.
const APPENDS_MAX: usize = 3;
/// With what an account begins: more than all debits of a run.
pub(crate) const FIRST_BALANCE: i64 = 1_000_000_000;
/// Largest amount of a deposit.
const AMOUNT_MAX: u32 = 1000;

/// Writes to a log that nobody else writes to.
pub(crate) struct Filler {
    appender: Appender,
    identity: LogIdentity,
    /// Of each shard, as it will be when everything under way is stored.
    heads: Vec<Head>,
    /// By number, from 0.
    accounts: Vec<Account>,
    /// How many accounts each shard has, with those that are not yet sent.
    opened: Vec<i32>,
    /// What is not yet sent, by shard.
    pending: Vec<Vec<EventRow>>,
    last: Option<AttemptMark>,
    under_way: FuturesOrdered<BoxFuture<'static, Result<Vec<Appended>, AppendError>>>,
    texts: Texts,
}

#[derive(Clone, Copy)]
struct Account {
    shard: Shard,
    /// In its shard, from 1.
    number: i32,
    version: i64,
    balance: i64,
}

impl Filler {
    /// Creates the log in an empty database.
    pub(crate) async fn create(database_url: &str, shards: ShardCount) -> anyhow::Result<Self> {
        let identity = migrate(database_url, Some(shards)).await.context("create a log")?;
        let appender = Appender::connect(database_url, "counterfoil-bench/fill").await;
        let appender = appender.context("connect to fill the log")?;
        Ok(Self {
            appender,
            heads: identity.shards.shards().map(|shard| identity.empty_head(shard)).collect(),
            identity,
            accounts: Vec::new(),
            opened: vec![0; shards.as_usize()],
            pending: vec![Vec::new(); shards.as_usize()],
            last: None,
            under_way: FuturesOrdered::new(),
            texts: Texts::of_statements()?,
        })
    }

    /// Goes on with a log that others have written to since, with the accounts as they stand.
    pub(crate) async fn resume(&mut self, database_url: &str, moved: &[i64]) -> anyhow::Result<()> {
        let connection = crate::servers::connect(database_url).await?;
        let statement = "SELECT shard, account, max(version) FROM counterfoil.events
                         WHERE event_type <> 11 GROUP BY shard, account";
        let mut versions = std::collections::HashMap::new();
        for row in connection.client.query(statement, &[]).await.context("read versions")? {
            let (shard, number, version): (i16, i32, i64) = (row.get(0), row.get(1), row.get(2));
            versions.insert((shard, number), version);
        }
        for (account, moved) in self.accounts.iter_mut().zip(moved) {
            let key = (account.shard.get(), account.number);
            account.version = *versions.get(&key).context("an account is missing")?;
            account.balance = *moved;
        }
        let reader = LogReader::connect(database_url, "counterfoil-bench/fill").await?;
        for (head, shard) in self.heads.iter_mut().zip(self.identity.shards.shards()) {
            *head = reader.head(shard).await?.unwrap_or_else(|| self.identity.empty_head(shard));
        }
        self.last = None;
        self.appender = Appender::connect(database_url, "counterfoil-bench/fill").await?;
        Ok(())
    }

    /// How the accounts stand, by number.
    pub(crate) fn balances(&self) -> Vec<i64> {
        self.accounts.iter().map(|account| account.balance).collect()
    }

    /// Opens so many more accounts.
    pub(crate) async fn open_accounts(&mut self, count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            let name = account_id(u32::try_from(self.accounts.len())?);
            let shard = AccountId::new(&name)?.shard(self.identity.shards);
            let place = usize::try_from(shard.get())?;
            self.opened[place] += 1;
            let number = self.opened[place];
            self.accounts.push(Account { shard, number, version: 1, balance: 0 });
            let row = EventRow {
                account: number,
                event_type: event_type::ACCOUNT_OPENED,
                version: 1,
                status: 1,
                request_id: Some(Uuid::now_v7()),
                account_id: Some(name),
                currency: Some("EUR".to_owned()),
                ..EventRow::default()
            };
            self.add(place, row).await?;
        }
        self.finish().await
    }

    /// Gives every account its first balance.
    pub(crate) async fn fund_accounts(&mut self) -> anyhow::Result<()> {
        for index in 0..self.accounts.len() {
            self.deposit(index, FIRST_BALANCE).await?;
        }
        self.finish().await
    }

    /// Makes so many deposits on accounts picked uniformly.
    pub(crate) async fn deposit_uniformly(&mut self, count: u32) -> anyhow::Result<()> {
        let mut dice = Dice::new();
        let accounts = u32::try_from(self.accounts.len())?;
        for _ in 0..count {
            let index = usize::try_from(dice.roll(accounts))?;
            self.deposit(index, i64::from(dice.roll(AMOUNT_MAX)) + 1).await?;
        }
        self.finish().await
    }

    /// Makes so many deposits on one account.
    pub(crate) async fn deposit_on(&mut self, account: usize, count: u32) -> anyhow::Result<()> {
        for number in 0..count {
            self.deposit(account, i64::from(number % AMOUNT_MAX) + 1).await?;
        }
        self.finish().await
    }

    /// Makes one deposit, and waits until it is stored.
    pub(crate) async fn deposit_alone(&mut self, account: usize) -> anyhow::Result<()> {
        self.deposit(account, 1).await?;
        self.finish().await
    }

    async fn deposit(&mut self, index: usize, amount: i64) -> anyhow::Result<()> {
        let account = &mut self.accounts[index];
        account.version += 1;
        account.balance += amount;
        let account = *account;
        let text = self.texts.get(u32::try_from(account.version)?);
        let money = (amount, account.balance);
        let row = deposit_row(account.number, account.version, money, text);
        self.add(usize::try_from(account.shard.get())?, row).await
    }

    async fn add(&mut self, place: usize, row: EventRow) -> anyhow::Result<()> {
        self.pending[place].push(row);
        if self.pending[place].len() >= BATCH_ROWS {
            self.send(place).await?;
        }
        Ok(())
    }

    /// Sends what is pending of a shard, and waits until another append may be made.
    async fn send(&mut self, place: usize) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.pending[place]);
        if rows.is_empty() {
            return Ok(());
        }
        let opened = rows.iter().filter(|row| row.event_type == event_type::ACCOUNT_OPENED).count();
        let expected = self.heads[place];
        let shard = Shard::new(i16::try_from(place)?).context("a shard's number")?;
        let accounts = expected.accounts + i32::try_from(opened)?;
        let part = ShardPart { shard, expected, accounts, rows };
        let attempt = Attempt::new(self.identity.log_id, vec![part], self.last);
        self.last = attempt.mark();
        for (shard, head) in attempt.heads_after() {
            self.heads[usize::try_from(shard.get())?] = head;
        }
        self.under_way.push_back(Box::pin(self.appender.append(&attempt)));
        while self.under_way.len() >= APPENDS_MAX {
            self.one_stored().await?;
        }
        Ok(())
    }

    async fn one_stored(&mut self) -> anyhow::Result<()> {
        if let Some(stored) = self.under_way.next().await {
            stored.context("fill the log")?;
        }
        Ok(())
    }

    /// Waits until everything is stored.
    async fn finish(&mut self) -> anyhow::Result<()> {
        for place in 0..self.pending.len() {
            self.send(place).await?;
        }
        while !self.under_way.is_empty() {
            self.one_stored().await?;
        }
        Ok(())
    }
}

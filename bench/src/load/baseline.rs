//! Callers of Postgres and Redis alone: what one would write instead.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use anyhow::{Context, ensure};
use redis::{IntoConnectionInfo, aio::MultiplexedConnection, io::tcp::TcpSettings};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::{
    account::{Dice, account_id},
    job::{BaselineKind, BaselineWork, Job, LoadResult},
    pace::{self, Caller},
    texts::Texts,
};

/// Largest amount of a benchmark's command.
pub(super) const AMOUNT_MAX: u32 = 1000;

const INSERT: &str = "
    INSERT INTO events (shard, account, event_type, version, balance, status, amount, request_id, reference, counterparty)
    VALUES (0, $1, 2, $2, $3, 1, $4, $5, nullif($6, ''), nullif($7, ''))";
const INSERT_NOTIFY: &str = "
    WITH inserted AS (
        INSERT INTO events (shard, account, event_type, version, balance, status, amount, request_id, reference, counterparty)
        VALUES (0, $1, 2, $2, $3, 1, $4, $5, nullif($6, ''), nullif($7, '')))
    SELECT pg_notify('baseline_events', '')";
const UPDATE: &str = "
    UPDATE accounts SET version = version + 1, balance = balance + $2 WHERE account = $1 RETURNING version, balance";
const CLASSIC_STATEMENT: &str = "
    WITH updated AS (
        UPDATE accounts SET version = version + 1, balance = balance + $2 WHERE account = $1 RETURNING version, balance)
    INSERT INTO events (shard, account, event_type, version, balance, status, amount, request_id, reference, counterparty)
    SELECT 0, $1, 2, version, balance, 1, $2, $3, nullif($4, ''), nullif($5, '') FROM updated";
const ROW: &str = "SELECT version, balance FROM accounts WHERE account = $1";
const SUM: &str =
    "SELECT sum(amount)::bigint FROM events WHERE shard = 0 AND account = $1 AND event_type <> 11";

/// Works on Postgres.
pub(super) async fn run(job: &Job, work: BaselineWork) -> anyhow::Result<LoadResult> {
    let accounts = usize::try_from(work.accounts).unwrap_or(usize::MAX);
    let versions = std::iter::repeat_with(|| AtomicI64::new(work.first_version));
    let versions: Arc<Vec<AtomicI64>> = Arc::new(versions.take(accounts).collect());
    let texts = Arc::new(Texts::of_statements()?);
    let mut drivers = JoinSet::new();
    let mut callers = Vec::new();
    for _ in 0..job.pace.callers() {
        let (client, connection) =
            tokio_postgres::connect(&work.url, NoTls).await.context("connect to Postgres")?;
        drivers.spawn(connection);
        let statement = client.prepare(statement(work.kind)).await?;
        let second = match work.kind {
            BaselineKind::Classic => Some(client.prepare(INSERT).await?),
            _ => None,
        };
        callers.push(PostgresCaller {
            client,
            statement,
            second,
            kind: work.kind,
            dice: Dice::new(),
            versions: versions.clone(),
            texts: texts.clone(),
        });
    }
    pace::run(job, callers).await
}

fn statement(kind: BaselineKind) -> &'static str {
    match kind {
        BaselineKind::Insert => INSERT,
        BaselineKind::InsertNotify => INSERT_NOTIFY,
        BaselineKind::Classic => UPDATE,
        BaselineKind::ClassicStatement => CLASSIC_STATEMENT,
        BaselineKind::Row => ROW,
        BaselineKind::Sum => SUM,
    }
}

struct PostgresCaller {
    client: Client,
    statement: Statement,
    second: Option<Statement>,
    kind: BaselineKind,
    dice: Dice,
    /// The last version of each account, for those who do not keep it in the database.
    versions: Arc<Vec<AtomicI64>>,
    texts: Arc<Texts>,
}

impl Caller for PostgresCaller {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let accounts = u32::try_from(self.versions.len()).unwrap_or(u32::MAX);
        let index = self.dice.roll(accounts);
        let account = i32::try_from(index).unwrap_or(0) + 1;
        match self.kind {
            BaselineKind::Row | BaselineKind::Sum => {
                self.client.query_one(&self.statement, &[&account]).await?;
            }
            _ => self.write(index, account).await?,
        }
        Ok(1)
    }
}

impl PostgresCaller {
    async fn write(&mut self, index: u32, account: i32) -> anyhow::Result<()> {
        let amount = i64::from(self.dice.roll(AMOUNT_MAX)) + 1;
        let text = self.texts.get(self.dice.roll(u32::MAX));
        let (reference, counterparty) = (&text.reference, &text.counterparty);
        let request_id = Uuid::now_v7();
        let touched = match (self.kind, &self.second) {
            (BaselineKind::Classic, Some(insert)) => {
                let transaction = self.client.transaction().await?;
                let row = transaction.query_one(&self.statement, &[&account, &amount]).await?;
                let (version, balance): (i64, i64) = (row.get(0), row.get(1));
                let touched = transaction
                    .execute(
                        insert,
                        &[
                            &account,
                            &version,
                            &balance,
                            &amount,
                            &request_id,
                            reference,
                            counterparty,
                        ],
                    )
                    .await?;
                transaction.commit().await?;
                touched
            }
            (BaselineKind::ClassicStatement, _) => {
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&account, &amount, &request_id, reference, counterparty];
                self.client.execute(&self.statement, &parameters).await?
            }
            _ => {
                let index = usize::try_from(index).unwrap_or(0);
                let version = self.versions[index].fetch_add(1, Ordering::Relaxed);
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&account, &version, &amount, &amount, &request_id, reference, counterparty];
                self.client.execute(&self.statement, &parameters).await?
            }
        };
        ensure!(touched == 1, "{touched} rows were written instead of one");
        Ok(())
    }
}

/// Works on Redis: callers share one connection, as the read service's do.
pub(super) async fn run_redis(job: &Job, url: String, keys: u32) -> anyhow::Result<LoadResult> {
    // As the read service has it: the crate's own default would hold back small packets.
    let address = url.into_connection_info()?;
    let address = address.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(address)?;
    let connection = client.get_multiplexed_async_connection().await.context("connect to Redis")?;
    let callers = (0..job.pace.callers()).map(|_| RedisCaller {
        connection: connection.clone(),
        dice: Dice::new(),
        keys,
    });
    pace::run(job, callers.collect()).await
}

/// The key of a hash that [`RedisCaller`] reads.
pub(crate) fn redis_key(number: u32) -> String {
    format!("baseline:{}", account_id(number))
}

struct RedisCaller {
    connection: MultiplexedConnection,
    dice: Dice,
    keys: u32,
}

impl Caller for RedisCaller {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let mut command = redis::cmd("HMGET");
        command
            .arg(redis_key(self.dice.roll(self.keys)))
            .arg(&["version", "balance", "held", "currency"]);
        let values: Vec<Option<String>> = command.query_async(&mut self.connection).await?;
        ensure!(values.iter().all(Option::is_some), "HMGET found nothing");
        Ok(1)
    }
}

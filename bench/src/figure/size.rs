//! Bytes: in Postgres, in its write-ahead log, and in Redis.

use super::{Context, writers::write_rate};
use crate::{
    row::{Row, Values},
    servers::connect,
    stage::{Size, Stage},
};

/// Enough for indexes to look as they do in the long run.
const TRANSACTIONS: u32 = 500_000;

const USED: &str = "
    SELECT pg_total_relation_size('counterfoil.events') + pg_total_relation_size('counterfoil.batches'),
           (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint,
           (SELECT count(*) FROM counterfoil.events)";

struct Used {
    disk: i64,
    wal: i64,
    events: i64,
}

/// Per deposit, with the texts of real ones, written through the service at its best rate.
pub(super) async fn postgres(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let mut stage = Stage::start(context.servers, Size::of(context.args.accounts)).await?;
    let connection = connect(&stage.database_url).await?;
    let used = async || -> anyhow::Result<Used> {
        let row = connection.client.query_one(USED, &[]).await?;
        Ok(Used { disk: row.get(0), wal: row.get(1), events: row.get(2) })
    };
    let (mut disk, mut wal) = (Vec::new(), Vec::new());
    for _ in 0..context.args.rounds() {
        // After one, every page is written whole once: that is in the figure too.
        connection.client.batch_execute("CHECKPOINT").await?;
        let before = used().await?;
        let addrs = stage.write_addrs();
        write_rate(context.args, &mut stage, addrs).await?;
        let after = used().await?;
        let deposits = after.events - before.events;
        disk.push(per(after.disk - before.disk, deposits));
        wal.push(per(after.wal - before.wal, deposits));
    }
    stage.end(context.servers).await?;
    let disk = Values::new("bytes of tables and indexes per deposit", "", disk);
    let wal = Values::new("bytes of WAL per deposit", "", wal);
    Ok(vec![Row::alone("size", disk).part("disk"), Row::alone("size", wal).part("wal")])
}

/// Per account and per transaction, with all views.
pub(super) async fn redis(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let before = context.servers.redis_memory().await?;
    let size = Size { is_funded: false, ..Size::of(context.args.accounts) };
    let accounts = i64::from(size.accounts);
    let mut stage = Stage::fill(context.servers, size).await?;
    stage.start_reading().await?;
    let with_accounts = context.servers.redis_memory().await?;
    stage.fill_further(TRANSACTIONS).await?;
    stage.check_balances().await?;
    let with_transactions = context.servers.redis_memory().await?;
    stage.end(context.servers).await?;
    let account = per(grown(before, with_accounts), accounts);
    let transaction = per(grown(with_accounts, with_transactions), i64::from(TRANSACTIONS));
    let account = Values::new("bytes of Redis per account", "", vec![account]);
    let transaction = Values::new("bytes of Redis per transaction", "", vec![transaction]);
    Ok(vec![
        Row::alone("redis_size", account).part("account"),
        Row::alone("redis_size", transaction).part("transaction"),
    ])
}

fn grown(before: u64, after: u64) -> i64 {
    i64::try_from(after.saturating_sub(before)).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn per(bytes: i64, count: i64) -> f64 {
    bytes as f64 / count.max(1) as f64
}

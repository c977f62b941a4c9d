//! Appending beside a transaction that somebody has left open.

use std::time::{Duration, Instant};

use ledger::ShardCount;

use super::Context;
use crate::{
    fill::Filler,
    load::Dice,
    row::{Row, Values},
    servers::{Servers, connect},
    stats,
};

/// How long it is left open.
const SECONDS: u32 = 600;
/// Where all figures have to fit into half an hour.
const IN_FULL_RUN: f64 = 0.3;
/// Few enough that what an append touches is always in memory: what else makes it slow is not meant here.
const ACCOUNTS: u32 = 1000;
/// Two logs take turns of this length: what the machine does to one it does to the other.
const TURN: Duration = Duration::from_secs(1);
/// Turns of each log whose median is one round's value.
const TURNS_PER_ROUND: u32 = 5;

/// Nothing but appends of one row, one after the other, to two logs: beside one of them is a transaction, and the other, as
/// old and as large, tells what is not the transaction's doing.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let open_for = Duration::from_secs(args.scaled(SECONDS, IN_FULL_RUN).into());
    let mut beside = Log::create(context.servers).await?;
    let mut alone = Log::create(context.servers).await?;
    measure(&mut beside, &mut alone, 1).await?; // warms up
    let (before, alone_before) = measure(&mut beside, &mut alone, args.rounds()).await?;

    let transaction = connect(&beside.database_url).await?;
    let open =
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM counterfoil.incarnations";
    transaction.client.batch_execute(open).await?;
    eprintln!("long_snapshot: appending for {open_for:?} beside an open transaction");
    let until = Instant::now() + open_for;
    while Instant::now() < until {
        beside.turn().await?;
        alone.turn().await?;
    }
    let (after, alone_after) = measure(&mut beside, &mut alone, args.rounds()).await?;
    drop(transaction);

    let age = open_for.as_secs();
    let what = format!("p50 of one append after {age} s and {} beside it", beside.appends);
    let after = Values::new(what, "ms", after);
    let alone_after = Values::new(format!("after {age} s without it"), "ms", alone_after);
    let before = Values::new("before", "ms", before);
    let alone_before = Values::new("before", "ms", alone_before);
    Ok(vec![
        Row::beside("long_snapshot", after.clone(), before),
        Row::beside("long_snapshot", after, alone_after.clone()).part("at once"),
        Row::beside("long_snapshot", alone_after, alone_before).part("without it"),
    ])
}

/// One log that nobody reads.
struct Log {
    database_url: String,
    filler: Filler,
    dice: Dice,
    appends: u64,
}

impl Log {
    async fn create(servers: &Servers) -> anyhow::Result<Self> {
        let database_url = servers.create_database().await?;
        let mut filler = Filler::create(&database_url, ShardCount::ONE).await?;
        filler.open_accounts(ACCOUNTS).await?;
        Ok(Self { database_url, filler, dice: Dice::new(), appends: 0 })
    }

    /// The median of the appends of one turn, in milliseconds.
    async fn turn(&mut self) -> anyhow::Result<f64> {
        let until = Instant::now() + TURN;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let account = usize::try_from(self.dice.roll(ACCOUNTS))?;
            let begun = Instant::now();
            self.filler.deposit_alone(account).await?;
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
            self.appends += 1;
        }
        Ok(stats::median(&latencies))
    }
}

/// Rounds of both logs, in turn.
async fn measure(
    beside: &mut Log,
    alone: &mut Log,
    rounds: u32,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut medians = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut turns = (Vec::new(), Vec::new());
        for _ in 0..TURNS_PER_ROUND {
            turns.0.push(beside.turn().await?);
            turns.1.push(alone.turn().await?);
        }
        medians.0.push(stats::median(&turns.0));
        medians.1.push(stats::median(&turns.1));
    }
    Ok(medians)
}

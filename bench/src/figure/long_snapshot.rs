//! Writing beside a transaction that somebody has left open.

use std::time::Duration;

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::warm_up,
    servers::connect,
    stage::{Size, Stage},
};

/// How long it is left open.
const SECONDS: u32 = 600;
/// Where all figures have to fit into half an hour.
const IN_FULL_RUN: f64 = 0.3;
/// Writing meanwhile: what rots under an old snapshot rots by being written.
const PER_SECOND: u32 = 2000;
const CALLERS: u32 = 64;

/// One append at a time, before and after.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let seconds = args.scaled(SECONDS, IN_FULL_RUN);
    let mut stage = Stage::start(context.servers, Size::of(args.accounts)).await?;
    stage.deposit_on_every_account().await?;
    let (warm_up, time) = (warm_up(args), args.time());
    let mut before = Vec::new();
    for _ in 0..args.rounds() {
        before.push(deposit(&mut stage, Pace::Closed { callers: 1 }, warm_up, time).await?);
    }
    let idle = connect(&stage.database_url).await?;
    let open =
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM counterfoil.incarnations";
    idle.client.batch_execute(open).await?;
    eprintln!("long_snapshot: writing for {seconds} s beside an open transaction");
    let pace = Pace::Open { per_second: PER_SECOND, callers: CALLERS };
    deposit(&mut stage, pace, Duration::ZERO, Duration::from_secs(seconds.into())).await?;
    let mut after = Vec::new();
    for _ in 0..args.rounds() {
        after.push(deposit(&mut stage, Pace::Closed { callers: 1 }, warm_up, time).await?);
    }
    drop(idle);
    // The log has grown meanwhile, and Postgres has made checkpoints: what remains now is not the transaction's doing.
    let mut closed = Vec::new();
    for _ in 0..args.rounds() {
        closed.push(deposit(&mut stage, Pace::Closed { callers: 1 }, warm_up, time).await?);
    }
    stage.check_balances().await?;
    stage.end(context.servers).await?;
    let what = format!("p50 of deposit, 1, after {seconds} s beside an open transaction");
    let after = Values::new(what, "ms", after);
    let before = Values::new("before", "ms", before);
    let closed = Values::new("when it is closed", "ms", closed);
    Ok(vec![
        Row::beside("long_snapshot", after.clone(), before),
        Row::beside("long_snapshot", after, closed).part("closed"),
    ])
}

async fn deposit(
    stage: &mut Stage,
    pace: Pace,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<f64> {
    let (addrs, accounts) = (stage.write_addrs(), stage.size.accounts);
    let work = Work::Deposit { addrs, first: 0, accounts, watch: None };
    let result = generate(&Job { work, pace, warm_up, time }).await?;
    stage.acknowledge(&result);
    stage.until_caught_up().await?;
    Ok(result.latency.p50)
}

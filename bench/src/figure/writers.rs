//! Several write-services, and several shards, beside one.

use super::Context;
use crate::{
    args::BenchArgs,
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::warm_up,
    stage::{Size, Stage},
};

const CALLERS: u32 = 256;
/// So few that handing over the turn is what they wait for, if anything.
const FEW_CALLERS: u32 = 16;
const SHARDS: i16 = 4;

/// Two write-services on one log, the load split evenly, beside one of them.
pub(super) async fn two(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let size = Size { writers: 2, ..Size::of(context.args.accounts) };
    let mut stage = Stage::start(context.servers, size).await?;
    stage.deposit_on_every_account().await?;
    let mut rows = Vec::new();
    for (callers, part) in [(CALLERS, None), (FEW_CALLERS, Some("few"))] {
        let (mut both, mut one) = (Vec::new(), Vec::new());
        for _ in 0..context.args.rounds() {
            let addrs = stage.write_addrs();
            both.push(write_rate_of(context.args, &mut stage, addrs, callers).await?);
            let addrs = vec![stage.write_addr()];
            one.push(write_rate_of(context.args, &mut stage, addrs, callers).await?);
        }
        let what = format!("deposit through two write-services, {callers}");
        let both = Values::new(what, "/s", both);
        let one = Values::new("through one of them", "/s", one);
        let row = Row::beside("two_writers", both, one);
        rows.push(match part {
            Some(part) => row.part(part),
            None => row,
        });
    }
    stage.end(context.servers).await?;
    Ok(rows)
}

/// A log of four shards beside a log of one.
pub(super) async fn four_shards(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let size = Size::of(context.args.accounts);
    let mut one_shard = Stage::start(context.servers, size.clone()).await?;
    let mut shards = Stage::start(context.servers, Size { shards: SHARDS, ..size }).await?;
    one_shard.deposit_on_every_account().await?;
    shards.deposit_on_every_account().await?;
    let (mut four, mut one) = (Vec::new(), Vec::new());
    for _ in 0..context.args.rounds() {
        let addrs = shards.write_addrs();
        four.push(write_rate(context.args, &mut shards, addrs).await?);
        let addrs = one_shard.write_addrs();
        one.push(write_rate(context.args, &mut one_shard, addrs).await?);
    }
    shards.stop_services().await?;
    one_shard.end(context.servers).await?;
    let four = Values::new("deposit, 4 shards, 256", "/s", four);
    Ok(vec![Row::beside("four_shards", four, Values::new("1 shard", "/s", one))])
}

/// Deposits per second of 256 callers, with every balance checked afterwards.
pub(super) async fn write_rate(
    args: &BenchArgs,
    stage: &mut Stage,
    addrs: Vec<String>,
) -> anyhow::Result<f64> {
    write_rate_of(args, stage, addrs, CALLERS).await
}

async fn write_rate_of(
    args: &BenchArgs,
    stage: &mut Stage,
    addrs: Vec<String>,
    callers: u32,
) -> anyhow::Result<f64> {
    let work = Work::Deposit { addrs, first: 0, accounts: stage.size.accounts, watch: None };
    let pace = Pace::Closed { callers };
    let job = Job { work, pace, warm_up: warm_up(args), time: args.time() };
    let result = generate(&job).await?;
    stage.acknowledge(&result);
    stage.check_balances().await?;
    eprintln!("deposit  {callers} callers  {:9.0}/s", result.rate());
    Ok(result.rate())
}

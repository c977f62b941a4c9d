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
const SHARDS: i16 = 4;

/// Two write-services on one log, the load split evenly, beside one of them.
pub(super) async fn two(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let size = Size { writers: 2, ..Size::of(context.args.accounts) };
    let mut stage = Stage::start(context.servers, size).await?;
    stage.deposit_on_every_account().await?;
    let (mut both, mut one) = (Vec::new(), Vec::new());
    for _ in 0..context.args.rounds() {
        let addrs = stage.write_addrs();
        both.push(write_rate(context.args, &mut stage, addrs).await?);
        let addrs = vec![stage.write_addr()];
        one.push(write_rate(context.args, &mut stage, addrs).await?);
    }
    stage.end(context.servers).await?;
    let both = Values::new("deposit through two write-services, 256", "/s", both);
    let one = Values::new("through one of them", "/s", one);
    Ok(vec![Row::beside("two_writers", both, one)])
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

/// Deposits per second, with every balance checked afterwards.
pub(super) async fn write_rate(
    args: &BenchArgs,
    stage: &mut Stage,
    addrs: Vec<String>,
) -> anyhow::Result<f64> {
    let work = Work::Deposit { addrs, first: 0, accounts: stage.size.accounts, watch: None };
    let pace = Pace::Closed { callers: CALLERS };
    let job = Job { work, pace, warm_up: warm_up(args), time: args.time() };
    let result = generate(&job).await?;
    stage.acknowledge(&result);
    stage.check_balances().await?;
    eprintln!("deposit  {CALLERS} callers  {:9.0}/s", result.rate());
    Ok(result.rate())
}

//! Writing when much has been written, and when there are many accounts.

use anyhow::Context as _;

use super::{Context, writers::write_rate};
use crate::{
    cpu,
    row::{Row, Values},
    stage::{Size, Stage},
};

/// The goal's log.
const EVENTS: u32 = 20_000_000;
/// Where all figures have to fit into half an hour.
const EVENTS_IN_FULL_RUN: f64 = 0.5;
const ACCOUNTS_IN_FULL_RUN: f64 = 0.5;
/// How often the rate is looked at on the way there.
const STEPS: u32 = 4;
/// The goal's accounts.
const MANY_ACCOUNTS: u32 = 10_000_000;
const FEW_ACCOUNTS: u32 = 100_000;

/// The rate as the log grows. The projector follows all the time.
pub(super) async fn growth(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let mut stage = Stage::start(context.servers, Size::of(args.accounts)).await?;
    let step = args.scaled(EVENTS / STEPS, EVENTS_IN_FULL_RUN);
    let mut events = f64::from(2 * args.accounts);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for filled in 0..=STEPS {
        if filled > 0 {
            stage.stop_writers().await?;
            stage.fill_further(step).await?;
            stage.start_writers().await?;
            events += f64::from(step);
        }
        stage.deposit_on_every_account().await?;
        let mut rates = Vec::new();
        for _ in 0..args.rounds() {
            let addrs = stage.write_addrs();
            rates.push(write_rate(args, &mut stage, addrs).await?);
        }
        eprintln!("growth  {events:.0} events  {:9.0}/s", crate::stats::median(&rates));
        context.pictures.growth.push((events, crate::stats::median(&rates)));
        match filled {
            0 => first = rates,
            _ => last = rates,
        }
    }
    stage.end(context.servers).await?;
    let what = format!("deposit, 256, at {} events", step * STEPS);
    let first = Values::new("at 0", "/s", first);
    Ok(vec![Row::beside("growth", Values::new(what, "/s", last), first)])
}

/// Deposits spread over more accounts than the write-service keeps in memory.
pub(super) async fn many_accounts(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let accounts = args.scaled(MANY_ACCOUNTS, ACCOUNTS_IN_FULL_RUN);
    let mut few = Stage::start(context.servers, Size::of(FEW_ACCOUNTS)).await?;
    few.deposit_on_every_account().await?;
    eprintln!("many_accounts: opening {accounts} accounts");
    let size = Size { is_funded: false, ..Size::of(accounts) };
    let mut many = Stage::start(context.servers, size).await?;
    let (mut many_rates, mut few_rates) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds() {
        let addrs = many.write_addrs();
        many_rates.push(write_rate(args, &mut many, addrs).await?);
        let addrs = few.write_addrs();
        few_rates.push(write_rate(args, &mut few, addrs).await?);
    }
    let writer = many.writers.first().and_then(|writer| writer.pid());
    let memory = writer.and_then(cpu::peak_memory).context("the write-service has no memory")?;
    many.stop_services().await?;
    few.end(context.servers).await?;
    let what = format!("deposit, 256, on {accounts} accounts");
    let few = Values::new(format!("on {FEW_ACCOUNTS}"), "/s", few_rates);
    let memory = Values::new("most memory of the write-service", "MiB", vec![mebibytes(memory)]);
    Ok(vec![
        Row::beside("many_accounts", Values::new(what, "/s", many_rates), few),
        Row::alone("many_accounts", memory).part("memory"),
    ])
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

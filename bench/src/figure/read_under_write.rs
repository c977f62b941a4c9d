//! Reading while writing goes on.

use anyhow::Context as _;

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::{CALLERS, Series, Subject, warm_up},
    stats::median,
};

const READERS: u32 = 64;
const WRITERS: u32 = 256;

pub(super) fn needs() -> Vec<Series> {
    CALLERS.map(|callers| Series { callers, subject: Subject::Deposit }).into()
}

/// Beside half the best write rate, at a fixed pace.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let lab = context.lab.as_mut().context("read_under_write needs a Counterfoil")?;
    let stage = &mut lab.stage;
    let (_, rates) = context.samples.best(Subject::Deposit);
    let half = (median(&rates) / 2.0).max(1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let per_second = half as u32;
    let (warm_up, time) = (warm_up(context.args), context.args.time());
    let (mut p99, mut alone, mut written_rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.args.rounds() {
        let accounts = stage.size.accounts;
        let addrs = stage.write_addrs();
        let work = Work::Deposit { addrs, first: 0, accounts, watch: None };
        let pace = Pace::Open { per_second, callers: WRITERS };
        let writes = Job { work, pace, warm_up, time };
        let work = Work::GetBalance { addr: stage.read_addr(), first: 0, accounts };
        let pace = Pace::Closed { callers: READERS };
        let reads = Job { work, pace, warm_up, time };
        alone.push(generate(&reads).await?.latency.p99);
        let (written, read) = tokio::try_join!(generate(&writes), generate(&reads))?;
        stage.acknowledge(&written);
        eprintln!(
            "round {round}  get_balance beside {:.0} deposits/s  p99 {:7.3} ms",
            written.rate(),
            read.latency.p99
        );
        p99.push(read.latency.p99);
        written_rates.push(written.rate());
        stage.until_caught_up().await?;
    }
    stage.check_balances().await?;
    let written = median(&written_rates);
    let what = format!("p99 of get_balance, 64, beside {written:.0} deposits/s");
    let alone = Values::new("alone", "ms", alone);
    Ok(vec![Row::beside("read_under_write", Values::new(what, "ms", p99), alone)])
}

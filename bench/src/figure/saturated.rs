//! Lag while everything is written that can be.

use anyhow::Context as _;

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::warm_up,
    stage::{Size, Stage},
    stats::median,
};

const CALLERS: u32 = 256;
/// A plan that was made while the log was empty shows itself after seconds.
const SECONDS_MIN: u64 = 10;

/// On a fresh log in every round.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let (mut p99, mut growth, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.args.rounds() {
        let mut stage = Stage::start(context.servers, Size::of(context.args.accounts)).await?;
        stage.deposit_on_every_account().await?; // or the best rate is that of loading accounts
        let work = Work::Deposit {
            addrs: stage.write_addrs(),
            first: 0,
            accounts: stage.size.accounts,
            watch: Some(stage.watch()),
        };
        let pace = Pace::Closed { callers: CALLERS };
        let time = context.args.time().max(std::time::Duration::from_secs(SECONDS_MIN));
        let job = Job { work, pace, warm_up: warm_up(context.args), time };
        let result = generate(&job).await?;
        stage.acknowledge(&result);
        stage.check_balances().await?;
        stage.end(context.servers).await?;
        let rate = result.rate();
        let lags = result.lags.context("lag was not measured")?;
        eprintln!("round {round}  lag at {rate:.0}/s  p99 {:7.3} ms", lags.all.p99);
        p99.push(lags.all.p99);
        growth.push(grown(&lags.by_second));
        rates.push(rate);
        context.pictures.lag_saturated.push(lags);
    }
    let rate = median(&rates);
    let what = format!("p99 from acknowledged to readable, 256 callers, {rate:.0}/s");
    let grown = "p99 of the last seconds / of the first";
    Ok(vec![
        Row::alone("lag_saturated", Values::new(what, "ms", p99)).part("p99"),
        Row::alone("lag_saturated", Values::new(grown, "", growth)).part("growth"),
    ])
}

/// The lag of the last third beside that of the first.
fn grown(by_second: &[(f64, f64)]) -> f64 {
    // Of the medians of a second, many are nothing: what is acknowledged can often be read already.
    let p99s: Vec<f64> = by_second.iter().map(|(_, p99)| *p99).collect();
    let third = p99s.len().div_ceil(3);
    let first = median(&p99s[..third.min(p99s.len())]);
    let last = median(&p99s[p99s.len().saturating_sub(third)..]);
    // Below a hundredth of a millisecond there is nothing to grow from.
    last.max(0.01) / first.max(0.01)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_first_third_to_the_last() {
        let steady = [(9.0, 1.0), (9.0, 1.2), (9.0, 0.9)];
        let growing = [(9.0, 1.0), (9.0, 2.0), (9.0, 8.0)];
        assert!(grown(&steady) < 1.0 && (grown(&growing) - 8.0).abs() < 1e-9);
        assert!((grown(&[]) - 1.0).abs() < 1e-9);
    }
}

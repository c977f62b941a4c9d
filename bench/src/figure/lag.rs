//! From a command's acknowledgement to the moment it can be read.

use anyhow::Context as _;

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::{Series, Subject, warm_up},
};

/// A bank's usual load: far from what is possible.
const PER_SECOND: u32 = 1000;
/// More than are ever under way at that rate.
const CALLERS: u32 = 64;

pub(super) fn needs() -> Vec<Series> {
    vec![Series { callers: 1, subject: Subject::Insert }]
}

/// In commits: the median of one insert at a time.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let lab = context.lab.as_mut().context("lag needs a Counterfoil")?;
    let (mut p50, mut p99, mut deposit) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.args.rounds() {
        let stage = &mut lab.stage;
        let work = Work::Deposit {
            addrs: vec![stage.write_addr()],
            first: 0,
            accounts: stage.size.accounts,
            watch: Some(stage.watch()),
        };
        let pace = Pace::Open { per_second: PER_SECOND, callers: CALLERS };
        let (warm_up, time) = (warm_up(context.args), context.args.time());
        let result = generate(&Job { work, pace, warm_up, time }).await?;
        stage.acknowledge(&result);
        let lags = result.lags.context("lag was not measured")?;
        eprintln!("round {round}  lag  p50 {:7.3} ms  p99 {:7.3} ms", lags.all.p50, lags.all.p99);
        p50.push(lags.all.p50);
        p99.push(lags.all.p99);
        deposit.push(result.latency.p99);
        context.pictures.lag.push(lags);
    }
    lab.stage.check_balances().await?;
    let commits = context.samples.each(Subject::Insert, 1, |sample| sample.latency.p50);
    let commit = || Values::new("a commit: p50 of insert, 1", "ms", commits.clone());
    let of = |percentile: &str, rounds| {
        Values::new(format!("{percentile} from acknowledged to readable at 1,000/s"), "ms", rounds)
    };
    Ok(vec![
        Row::beside("lag", of("p50", p50), commit()).part("p50"),
        Row::beside("lag", of("p99", p99), commit()).part("p99"),
        Row::alone("lag", Values::new("p99 of deposit at 1,000/s, open loop", "ms", deposit))
            .part("deposit"),
    ])
}

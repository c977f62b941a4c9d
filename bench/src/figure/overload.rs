//! More callers than there is room for.

use anyhow::Context as _;

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::warm_up,
    stage::{Size, Stage},
};

/// With so many callers, and a place for each, a write-service does most.
const PLACES: u32 = 256;
/// How many times as many want one.
const TIMES: u32 = 10;

/// Ten callers for each place: what is done beside what is done when there are as many callers as places.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let settings = vec![("WRITE_SERVICE_QUEUE_COMMANDS_MAX", PLACES.to_string())];
    let size = Size { settings, ..Size::of(args.accounts) };
    let mut stage = Stage::start(context.servers, size).await?;
    // Not through batches of a thousand, for which there are no places here.
    let (mut best, mut goodput, mut accepted, mut shed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    insist(context, &mut stage, PLACES).await?; // accounts come into memory
    for round in 1..=args.rounds() {
        best.push(insist(context, &mut stage, PLACES).await?.rate());
        let result = insist(context, &mut stage, PLACES * TIMES).await?;
        let rate = result.rate();
        goodput.push(rate);
        let told = result.shed.context("the load generator does not say what was shed")?;
        eprintln!(
            "round {round}  overload  {:9.0}/s  accepted p99 {:7.3} ms  shed {} p99 {:7.3} ms",
            rate, told.accepted.p99, told.count, told.latency.p99
        );
        accepted.push(told.accepted.p99);
        shed.push(told.latency.p99);
    }
    stage.check_balances().await?;
    stage.end(context.servers).await?;
    let what = format!("deposit, {} callers for {PLACES} places", PLACES * TIMES);
    let best = Values::new(format!("{PLACES} callers"), "/s", best);
    Ok(vec![
        Row::beside("overload", Values::new(what, "/s", goodput), best),
        Row::alone("overload", Values::new("p99 of a call that is done", "ms", accepted))
            .part("done"),
        Row::alone("overload", Values::new("p99 of a call that is shed", "ms", shed)).part("shed"),
    ])
}

async fn insist(
    context: &Context<'_>,
    stage: &mut Stage,
    callers: u32,
) -> anyhow::Result<crate::load::LoadResult> {
    let work = Work::Insist { addr: stage.write_addr(), accounts: stage.size.accounts };
    let pace = Pace::Closed { callers };
    let args = context.args;
    let result = generate(&Job { work, pace, warm_up: warm_up(args), time: args.time() }).await?;
    stage.acknowledge(&result);
    stage.until_caught_up().await?;
    Ok(result)
}

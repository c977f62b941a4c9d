//! A balance that is kept beside one that is added up.

use super::Context;
use crate::{
    baseline::Baseline,
    child::generate,
    load::{BaselineKind, BaselineWork, Job, Pace, Work},
    row::{Row, Values},
    series::{Series, Subject, warm_up},
};

/// Entries of the account that is added up. What `GetBalance` reads does not depend on them: see `long_account`.
const ENTRIES: [(u32, &str); 3] = [(10, "10"), (1_000, "1,000"), (100_000, "100,000")];
/// An account of a baseline begins with its opening and one entry; the opening adds nothing.
const FIRST_ENTRIES: u32 = 1;

pub(super) fn needs() -> Vec<Series> {
    vec![Series { callers: 1, subject: Subject::GetBalance }]
}

/// With one caller: how long one call takes.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let kept = context.samples.each(Subject::GetBalance, 1, |sample| sample.latency.p50);
    let mut rows = Vec::new();
    for (entries, part) in ENTRIES {
        let baseline = Baseline::create(context.servers, 1, entries - FIRST_ENTRIES).await?;
        let mut sums = Vec::new();
        for _ in 0..context.args.rounds() {
            let (kind, url) = (BaselineKind::Sum, baseline.url.clone());
            let work = Work::Baseline(BaselineWork { kind, url, accounts: 1, first_version: 0 });
            let (warm_up, time) = (warm_up(context.args), context.args.time());
            let pace = Pace::Closed { callers: 1 };
            sums.push(generate(&Job { work, pace, warm_up, time }).await?.latency.p50);
        }
        let kept = Values::new("p50 of get_balance, 1", "ms", kept.clone());
        let sum = Values::new(format!("p50 of a sum of {part} entries"), "ms", sums);
        rows.push(Row::beside("read_vs_sum", kept, sum).part(part));
    }
    Ok(rows)
}

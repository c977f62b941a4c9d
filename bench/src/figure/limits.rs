//! What a call and an append cost by themselves: less than that no figure of writing can be.

use super::side_by_side::sums;
use crate::{
    row::{Row, Values},
    sample::{Sample, Samples},
    series::{Series, Subject},
};

/// Callers, and the rows of their batches: half of them wait for the append under way, the other half for the next.
const CALLERS_AND_ROWS: [(u32, u32, &str); 2] = [(64, 32, "CPU, 64"), (256, 128, "CPU, 256")];

pub(super) fn needs() -> Vec<Series> {
    let of = |subject, callers| Series { subject, callers };
    let alone = [Subject::Insert, Subject::NoopDeposit, Subject::Append].map(|it| of(it, 1));
    let together = CALLERS_AND_ROWS.iter().flat_map(|(callers, rows, _)| {
        [of(Subject::NoopDeposit, *callers), of(Subject::Append, *rows)]
    });
    alone.into_iter().chain(together).collect()
}

/// The rows, none of which has a goal.
pub(super) fn rows(samples: &Samples) -> Vec<Row> {
    let p50 = |subject| samples.each(subject, 1, |sample| sample.latency.p50);
    let noop = p50(Subject::NoopDeposit);
    let with_noop = |subject| sums(&noop, &p50(subject));
    let least =
        Values::new("p50 of noop + p50 of append of one row", "ms", with_noop(Subject::Append));
    let limit = Values::new("p50 of noop + p50 of insert, 1", "ms", with_noop(Subject::Insert));
    let latency = Row::beside("limits", least, limit).part("latency");
    let cpu = CALLERS_AND_ROWS.iter().map(|(callers, rows, part)| {
        let used = |subject, at| samples.each(subject, at, Sample::cpu_of_everything);
        let rounds = sums(&used(Subject::NoopDeposit, *callers), &used(Subject::Append, *rows));
        let what = format!("CPU of a million calls by {callers} and of appending them by {rows}");
        Row::alone("limits", Values::new(what, "s", rounds)).part(part)
    });
    std::iter::once(latency).chain(cpu).collect()
}

//! Everything that was measured, for programs.

use serde_json::{Value, json};

use super::Report;
use crate::{row::Row, sample::Sample, series::Series};

/// The whole report.
pub(super) fn report(report: &Report<'_>) -> Value {
    let args = report.args;
    json!({
        "machine": report.machine,
        "run": {
            "rounds": args.rounds(),
            "seconds": args.time().as_secs_f64(),
            "scale": args.scale,
            "accounts": args.accounts,
            "events": args.events,
            "quick": args.quick,
            "took_seconds": report.took.as_secs(),
        },
        "figures": report.rows.iter().map(row).collect::<Vec<_>>(),
        "series": report.samples.iter().map(series).collect::<Vec<_>>(),
        "lag": report.pictures.lag,
        "lag_saturated": report.pictures.lag_saturated,
        "growth": report.pictures.growth,
        "failures": report.failures,
    })
}

fn row(row: &Row) -> Value {
    let ratio = row.ratio();
    json!({
        "name": row.name,
        "part": row.part,
        "figure": row.figure,
        "figure_median": row.figure.median(),
        "baseline": row.baseline,
        "baseline_median": row.baseline.as_ref().map(crate::row::Values::median),
        "ratio": ratio.map(|ratio| ratio.median),
        "ratio_min": ratio.map(|ratio| ratio.min),
        "ratio_max": ratio.map(|ratio| ratio.max),
        "goal": row.goal().map(|goal| goal.to_string()),
        "reached": row.is_reached(),
    })
}

fn series((series, samples): (&Series, &[Sample])) -> Value {
    json!({ "subject": series.subject.name(), "callers": series.callers, "rounds": samples })
}

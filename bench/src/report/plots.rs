//! The pictures of a run.

use std::path::Path;

use super::{
    Report,
    chart::{Axis, Chart},
    table::number,
};
use crate::{
    load::Lags,
    series::{CALLERS, Subject},
    stats::median,
};

/// Callers at which latencies are shown.
const SOME: u32 = 64;

const RATE: Axis =
    Axis { label: "operations per second", place: |rate| rate, text: number, from_zero: true };
const MILLISECONDS: Axis = Axis {
    label: "milliseconds (logarithmic)",
    place: |ms| ms.max(0.001).log10(),
    text: |place| number(10_f64.powf(place)),
    from_zero: false,
};
const SECONDS: Axis = Axis {
    label: "seconds since the beginning",
    place: |second| second,
    text: |place| format!("{place:.0}"),
    from_zero: true,
};

/// Draws whatever was measured.
pub(super) fn draw(report: &Report<'_>, folder: &Path) -> anyhow::Result<()> {
    throughput(report).draw(&folder.join("throughput.svg"))?;
    latency(report).draw(&folder.join("latency.svg"))?;
    lag(report).draw(&folder.join("lag.svg"))?;
    growth(report).draw(&folder.join("growth.svg"))
}

/// Throughput over concurrency.
fn throughput(report: &Report<'_>) -> Chart {
    use Subject::{Classic, ClassicStatement, CqrsEs, Deposit, Insert, InsertNotify};
    let line = |subject: Subject| {
        let point = |callers: u32| {
            let rates = report.samples.rates(subject, callers);
            (!rates.is_empty()).then(|| (f64::from(callers), median(&rates)))
        };
        (subject.name().to_owned(), CALLERS.into_iter().filter_map(point).collect())
    };
    let subjects = [Deposit, Insert, InsertNotify, Classic, ClassicStatement, CqrsEs];
    Chart {
        title: "Writes per second over concurrent callers".to_owned(),
        x: Axis {
            label: "callers (logarithmic)",
            place: f64::log2,
            text: |place| number(2_f64.powf(place).round()).replace(".00", "").replace(".0", ""),
            from_zero: true,
        },
        y: RATE,
        lines: subjects.into_iter().map(line).collect(),
    }
}

/// Latency percentiles, with the rare ones spread out.
fn latency(report: &Report<'_>) -> Chart {
    use Subject::{Deposit, GetBalance, Insert, NoopBalance};
    let line = |subject: Subject| {
        let samples = report.samples.of(subject, SOME);
        let percentiles = samples.first().map_or(0, |sample| sample.latency.curve.len());
        let points = (0..percentiles).map(|place| {
            let at = |sample: &crate::sample::Sample| sample.latency.curve.get(place).copied();
            let each: Vec<(f64, f64)> = samples.iter().filter_map(at).collect();
            let latencies: Vec<f64> = each.iter().map(|(_, latency)| *latency).collect();
            (each.first().map_or(0.0, |(percentile, _)| *percentile), median(&latencies))
        });
        (format!("{}, {SOME}", subject.name()), points.collect())
    };
    Chart {
        title: format!("Latency by percentile, {SOME} callers"),
        x: Axis {
            label: "percentile",
            place: |percentile| -(1.0 - percentile / 100.0).log10(),
            text: |place| {
                let percentile = 100.0 * (1.0 - 10_f64.powf(-place));
                let text = format!("{percentile:.3}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            },
            from_zero: true,
        },
        y: MILLISECONDS,
        lines: [Deposit, Insert, GetBalance, NoopBalance].into_iter().map(line).collect(),
    }
}

/// Lag second by second, of the round in the middle.
fn lag(report: &Report<'_>) -> Chart {
    let mut lines = Vec::new();
    let mut add = |name: &str, rounds: &[Lags]| {
        if let Some(lags) = rounds.get(rounds.len() / 2) {
            let seconds = || (0..).map(f64::from).zip(&lags.by_second);
            let p50 = seconds().map(|(second, (p50, _))| (second + 1.0, *p50)).collect();
            let p99 = seconds().map(|(second, (_, p99))| (second + 1.0, *p99)).collect();
            lines.push((format!("p50, {name}"), p50));
            lines.push((format!("p99, {name}"), p99));
        }
    };
    add("1,000 commands/s", &report.pictures.lag);
    add("256 callers, as fast as they can", &report.pictures.lag_saturated);
    Chart { title: "From acknowledged to readable".to_owned(), x: SECONDS, y: MILLISECONDS, lines }
}

/// The rate as the log grows.
fn growth(report: &Report<'_>) -> Chart {
    Chart {
        title: "Deposits per second as the log grows, 256 callers".to_owned(),
        x: Axis {
            label: "million events in the log",
            place: |events| events / 1e6,
            text: |place| number(place),
            from_zero: true,
        },
        y: RATE,
        lines: vec![("deposit".to_owned(), report.pictures.growth.clone())],
    }
}

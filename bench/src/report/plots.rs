//! The pictures of a run.

use std::path::Path;

use super::{
    Report,
    chart::{Axis, Chart, Scale},
};
use crate::{
    load::Lags,
    series::{CALLERS, Subject},
    stats::median,
};

/// Callers at which latencies are shown.
const SOME: u32 = 64;

const RATE: Axis = Axis { label: "operations per second", scale: Scale::Linear };
const MILLISECONDS: Axis = Axis { label: "milliseconds (logarithmic)", scale: Scale::Logarithmic };

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
        x: Axis { label: "callers (logarithmic)", scale: Scale::Logarithmic },
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
        x: Axis { label: "percentile", scale: Scale::Nines },
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
    Chart {
        title: "From acknowledged to readable".to_owned(),
        x: Axis { label: "seconds since the beginning", scale: Scale::Linear },
        y: MILLISECONDS,
        lines,
    }
}

/// The rate as the log grows.
fn growth(report: &Report<'_>) -> Chart {
    let points = report.pictures.growth.iter().map(|(events, rate)| (events / 1e6, *rate));
    Chart {
        title: "Deposits per second as the log grows, 256 callers".to_owned(),
        x: Axis { label: "million events in the log", scale: Scale::Linear },
        y: RATE,
        lines: vec![("deposit".to_owned(), points.collect())],
    }
}

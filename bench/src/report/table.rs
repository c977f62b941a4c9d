//! Tables, and the two that a run prints.

use std::collections::BTreeSet;

use super::Report;
use crate::{
    row::{Row, Values},
    sample::{LOAD_GENERATOR, Sample, Samples},
    series::Series,
    stats,
};

/// Text in rows and columns.
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// For a terminal: columns under each other.
    pub(super) fn plain(&self) -> String {
        let columns = 0..self.head.len();
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            all()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = columns.map(width).collect();
        let mut text = String::new();
        for row in all() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Every figure beside its baseline and its goal.
pub(super) fn figures(report: &Report<'_>) -> Table {
    let head = ["name", "figure", "", "baseline", "", "ratio (min-max)", "goal", "reached"];
    Table { head: head.map(str::to_owned).to_vec(), rows: report.rows.iter().map(figure).collect() }
}

fn figure(row: &Row) -> Vec<String> {
    let name = match row.part {
        "" => row.name.to_owned(),
        part => format!("{} ({part})", row.name),
    };
    let (what, value) = described(Some(&row.figure));
    let (baseline_what, baseline) = described(row.baseline.as_ref());
    let ratio = row.ratio().map_or_else(String::new, |ratio| {
        format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max)
    });
    let goal = row.goal().map_or_else(|| "-".to_owned(), |goal| goal.to_string());
    let reached = match row.is_reached() {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    };
    vec![name, what, value, baseline_what, baseline, ratio, goal, reached.to_owned()]
}

fn described(values: Option<&Values>) -> (String, String) {
    values.map_or_else(Default::default, |values| {
        (values.what.clone(), format!("{} {}", number(values.median()), values.unit))
    })
}

/// CPU and latency of every series.
pub(super) fn series(report: &Report<'_>) -> Table {
    let processes = processes(report.samples);
    let mut head: Vec<String> =
        ["work, callers", "per second", "p50 ms", "p99 ms"].map(str::to_owned).to_vec();
    head.push("CPU s/million".to_owned());
    head.extend(processes.iter().cloned());
    let row = |(series, samples): (&Series, &[Sample])| {
        let median = |number: &dyn Fn(&Sample) -> f64| {
            stats::median(&samples.iter().map(number).collect::<Vec<_>>())
        };
        let mut cells = vec![
            format!("{}, {}", series.subject.name(), series.callers),
            number(median(&|sample| sample.rate)),
            number(median(&|sample| sample.latency.p50)),
            number(median(&|sample| sample.latency.p99)),
            number(median(&Sample::cpu_of_servers)),
        ];
        for process in &processes {
            let used = median(&|sample| {
                sample.cpu_seconds_per_million.get(process).copied().unwrap_or(0.0)
            });
            cells.push(if used < 0.05 { String::new() } else { format!("{used:.1}") });
        }
        cells
    };
    let mut all: Vec<_> = report.samples.iter().collect();
    all.sort_by_key(|(series, _)| (series.subject, series.callers));
    Table { head, rows: all.into_iter().map(row).collect() }
}

/// Servers first.
fn processes(samples: &Samples) -> Vec<String> {
    let all = samples.iter().flat_map(|(_, samples)| samples);
    let names: BTreeSet<&String> =
        all.flat_map(|sample| sample.cpu_seconds_per_million.keys()).collect();
    let is_server = |name: &&&String| name.as_str() != LOAD_GENERATOR;
    let mut names: Vec<String> =
        names.iter().filter(is_server).map(|name| (*name).clone()).collect();
    if !names.is_empty() {
        names.push(LOAD_GENERATOR.to_owned());
    }
    names
}

/// As many digits as mean something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) && !grouped.ends_with('-')
                {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_all_of_their_whole_ones() {
        let numbers = [0.1234, 1.234, 12.34, 123.4, 1234.5, 1_234_567.0, -1234.0];
        let written = numbers.map(number);
        assert_eq!(written, ["0.123", "1.23", "12.3", "123", "1,234", "1,234,567", "-1,234"]);
    }

    #[test]
    fn columns_stand_under_each_other() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table { head: row(["a", "bb"]), rows: vec![row(["long", "1"])] };
        assert_eq!(table.plain(), "a     bb\nlong   1\n");
    }
}

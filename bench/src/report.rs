//! What a run leaves: a table on the terminal, JSON, Markdown, pictures.

mod chart;
mod json;
mod markdown;
mod plots;
mod table;

use std::{fs, time::Duration};

use anyhow::Context;

use crate::{args::BenchArgs, load::Lags, machine::Machine, row::Row, sample::Samples};

/// Everything there is to tell.
pub(crate) struct Report<'a> {
    pub(crate) args: &'a BenchArgs,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
    pub(crate) samples: &'a Samples,
    pub(crate) pictures: Pictures,
    pub(crate) took: Duration,
    pub(crate) failures: Vec<String>,
}

/// What is drawn beside what series show.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// At a usual load, round by round.
    pub(crate) lag: Vec<Lags>,
    /// At the highest load, round by round.
    pub(crate) lag_saturated: Vec<Lags>,
    /// Events in the log, and deposits per second.
    pub(crate) growth: Vec<(f64, f64)>,
}

/// Tells it in every form that was asked for.
pub(crate) fn write(report: &Report<'_>) -> anyhow::Result<()> {
    let mut tables = vec![table::figures(report), table::series(report)];
    if tables[1].rows.is_empty() {
        tables.pop();
    }
    let text: Vec<String> = tables.iter().map(table::Table::plain).collect();
    let mut output = std::io::stdout().lock();
    let print =
        std::io::Write::write_all(&mut output, format!("\n{}\n", text.join("\n")).as_bytes());
    print.context("print the table")?;
    eprintln!("took {} s", report.took.as_secs());
    if let Some(file) = &report.args.json {
        let text = serde_json::to_string_pretty(&json::report(report))?;
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    if let Some(folder) = report.args.pictures_folder() {
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        plots::draw(report, &folder).context("draw pictures")?;
    }
    if let Some(file) = &report.args.markdown {
        let text = markdown::report(report, &tables);
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

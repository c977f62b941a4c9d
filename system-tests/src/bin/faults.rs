//! Runs the fault suite: one seed of one row, or many of many with a report.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use system_tests::faults::{Order, Report, Row, run};

/// Does faults to the whole system under load, and judges it. Ends with 1 if a promise was broken or a fault had no effect.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// One row of the matrix
    #[arg(long, conflicts_with_all = ["rows", "seeds"])]
    row: Option<u32>,

    /// What its dice are made of
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How long faults are done in each run
    #[arg(long, default_value_t = 30)]
    seconds: u64,

    /// Several rows, by commas; all of them if none is given
    #[arg(long, value_delimiter = ',')]
    rows: Vec<u32>,

    /// So many seeds of each, from `--seed` on
    #[arg(long, default_value_t = 1)]
    seeds: u64,

    /// Write the report to this file as well
    #[arg(long)]
    report: Option<PathBuf>,

    /// Keep what each run found in this file, and go on from there the next time. Only runs of the same code belong together
    #[arg(long)]
    journal: Option<PathBuf>,
}

impl Arguments {
    fn chosen(&self) -> Result<Vec<Row>, String> {
        let numbers = match (self.row, self.rows.is_empty()) {
            (Some(row), _) => vec![row],
            (None, false) => self.rows.clone(),
            (None, true) => return Ok(Row::all()),
        };
        let rows = numbers
            .into_iter()
            .map(|number| Row::numbered(number).ok_or_else(|| format!("there is no row {number}")));
        rows.collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rows = match arguments.chosen() {
        Ok(rows) => rows,
        Err(error) => return failed(&error),
    };
    let journal = arguments.journal.as_deref();
    let mut report = match journal.map_or_else(|| Ok(Report::default()), Report::resume) {
        Ok(report) => report,
        Err(error) => return failed(&error.to_string()),
    };
    let length = Duration::from_secs(arguments.seconds);
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        for row in rows.iter().filter(|row| row.not_tested().is_none()) {
            let order = Order { row: *row, seed, length };
            if report.has(&order) {
                continue;
            }
            let ran = run(order).await;
            println!("{}", ran.summary());
            for finding in ran.findings() {
                println!("  {finding}");
            }
            if ran.violations() > 0 {
                println!("  logs of the processes: {}", ran.logs());
            }
            println!("  again: {}", ran.again());
            report.add(&ran);
            if let Some(Err(error)) = journal.map(|file| report.save(file)) {
                return failed(&error.to_string());
            }
        }
    }
    let text = report.text(&rows);
    println!("\n{text}");
    if let Some(file) = &arguments.report
        && let Err(error) = std::fs::write(file, &text)
    {
        return failed(&format!("{}: {error}", file.display()));
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(2)
}

//! Runs the fault suite: one seed of one row, or many of many with a report.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use system_tests::faults::{Order, Ran, Report, Row, run};
use tokio::task::JoinSet;

/// Does faults to the whole system under load, and judges it. Ends with 1 if a promise was broken, a fault had no effect, or a row
/// that was named was not run.
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

    /// So many runs side by side, each with a system of its own: what is measured then is a busy machine. Rows that compare rates
    /// run after the others, one at a time
    #[arg(long, default_value_t = 1)]
    jobs: usize,

    /// Write the report to this file as well
    #[arg(long)]
    report: Option<PathBuf>,

    /// Keep what each run found in this file, and go on from there the next time. Only runs of the same code belong together
    #[arg(long)]
    journal: Option<PathBuf>,
}

impl Arguments {
    fn names_rows(&self) -> bool {
        self.row.is_some() || !self.rows.is_empty()
    }

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
    let seeds = arguments.seed..arguments.seed + arguments.seeds;
    let tested: Vec<Row> = rows.iter().filter(|row| row.not_tested().is_none()).copied().collect();
    let orders =
        seeds.flat_map(|seed| tested.iter().map(move |row| Order { row: *row, seed, length }));
    let (alone, together): (Vec<Order>, Vec<Order>) =
        orders.filter(|order| !report.has(order)).partition(|order| order.row.compares_rates());
    for (orders, jobs) in [(together, arguments.jobs.max(1)), (alone, 1)] {
        if let Err(error) = run_all(orders, jobs, &mut report, journal).await {
            return failed(&error);
        }
    }
    let text = report.text(&rows);
    println!("\n{text}");
    if let Some(file) = &arguments.report
        && let Err(error) = std::fs::write(file, &text)
    {
        return failed(&format!("{}: {error}", file.display()));
    }
    let named = if arguments.names_rows() { rows } else { Vec::new() };
    if report.is_good(&named) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all of them, so many at a time.
async fn run_all(
    orders: Vec<Order>,
    jobs: usize,
    report: &mut Report,
    journal: Option<&Path>,
) -> Result<(), String> {
    let mut orders = orders.into_iter();
    // In tasks of their own: judging one does not hold up the others' clients.
    let mut running = JoinSet::new();
    orders.by_ref().take(jobs).for_each(|order| _ = running.spawn(run(order)));
    while let Some(ran) = running.join_next().await {
        orders.next().map(|order| running.spawn(run(order)));
        let ran = ran.map_err(|panicked| panicked.to_string())?;
        tell(&ran);
        report.add(&ran);
        if let Some(file) = journal {
            report.save(file).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn tell(ran: &Ran) {
    println!("{}", ran.summary());
    for finding in ran.findings() {
        println!("  {finding}");
    }
    if ran.violations() > 0 {
        println!("  logs of the processes: {}", ran.logs());
    }
    println!("  again: {}", ran.again());
}

fn failed(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(2)
}

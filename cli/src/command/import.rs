//! `counterfoil import`
//!
//! The file is read whole and judged first (`file`); then every account's rows are sent in their order, many
//! accounts at once ([`lane`]) over one stream ([`bank`]), each row under ids that derive from the bank's own number of it
//! ([`request_ids`]), so that the log alone knows what is done ([`settle`]).
//!
//! A stream keeps the order of an account's commands, but one that is refused does not stop those behind it. So a row is
//! sent only when what became of the one before it is known.

mod bank;
mod fields;
mod file;
mod lane;
mod report;
mod request_ids;
mod row;
mod settle;

use std::{convert::Infallible, io::IsTerminal, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::out;
use crate::{
    call::Patience,
    failure::{Failure, UNAVAILABLE, USAGE},
    settings::WriteAddr,
};
use bank::WriteServiceBank;
use lane::{Progress, run_lane};
use report::Report;
use request_ids::RequestIds;
use settle::Settling;

/// A stream that is silent for so long while an answer is due is lost, or the service is in trouble.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Imports bank statements from a CSV file.
///
/// Each row becomes one command; accounts are opened when first seen. The same file twice changes nothing, and an import that
/// was broken off goes on when it is run again. A row that is refused holds back the later rows of its account, because they
/// would be judged on another balance; other accounts go on.
#[derive(Args)]
#[command(after_long_help = include_str!("import/columns.txt"))]
pub(crate) struct Import {
    /// The CSV file
    file: PathBuf,
    /// Name of the bank or system the transaction numbers are of: the same number of two banks is not the same entry
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Try rows that were refused before again, under new request ids
    #[arg(long)]
    retry_refused: bool,
    /// How many accounts are worked on at once; the rows of one account go one after another
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u16).range(1..=10_000), value_name = "NUMBER")]
    concurrency: u16,
    /// How long to repeat a row that is not answered before its account is given up
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    patience: Duration,
    #[command(flatten)]
    addr: WriteAddr,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let text = tokio::fs::read(&self.file).await;
        let text = text.with_context(|| format!("read {}", self.file.display()));
        let text = text.map_err(|error| Failure::usage(format!("{error:#}")))?;
        let accounts = match file::read(&text) {
            Ok(accounts) => accounts,
            Err(problems) => {
                eprint!("{problems}");
                eprintln!("error: nothing was imported from {}", self.file.display());
                return Err(Failure::reported(USAGE));
            }
        };
        let patience = Patience { total: self.patience, attempt: ATTEMPT_TIMEOUT };
        let ids = RequestIds::new(&self.namespace);
        let addr = self.addr.get();
        let settling = Settling {
            bank: WriteServiceBank::connect(&addr, patience)?,
            ids,
            retry_refused: self.retry_refused,
        };
        let row_count = accounts.iter().map(|account| account.rows.len()).sum();
        let progress = Progress::new(progress_bar(row_count), self.patience);
        let lanes = accounts.into_iter().map(|account| run_lane(&settling, account, &progress));
        let work = stream::iter(lanes).buffer_unordered(usize::from(self.concurrency)).collect();
        let lanes = tokio::select! {
            lanes = work => lanes,
            never = stop_on_ctrl_c(&progress) => match never {},
        };
        progress.finish();
        let report = Report::new(&self.file, lanes, &progress, &addr, self.addr);
        match self.json {
            true => out!("{:#}\n", report.json()),
            false => out!("{report}"),
        }
        match report.exit_code() {
            0 => Ok(()),
            code => Err(Failure::reported(code)),
        }
    }
}

/// The first Ctrl-C lets the rows that were sent be answered, the second does not wait for that.
async fn stop_on_ctrl_c(progress: &Progress) -> Infallible {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        if progress.is_stopped() {
            std::process::exit(i32::from(UNAVAILABLE));
        }
        progress.stop(None);
    }
}

/// On the terminal only: a log file has no use for it.
fn progress_bar(row_count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(row_count).unwrap_or(u64::MAX));
    let style = "{wide_bar} {pos}/{len} rows  {per_sec}  {eta} left";
    bar.with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

//! `counterfoil-bench`: measures every figure of Counterfoil beside its baseline, in turn, in one run.
//!
//! It starts servers of its own ([`servers`]) and the three services as their users have them ([`stage`]), lets load
//! generators, which are separate processes ([`load`]), work on them ([`series`], [`figure`]), checks that nothing was lost, and
//! prints a table ([`report`]). The names and goals of all figures are in [`goal`].

mod args;
mod baseline;
mod child;
mod cpu;
mod deposit;
mod figure;
mod fill;
mod goal;
mod load;
mod machine;
mod noop;
mod report;
mod row;
mod run;
mod sample;
mod series;
mod servers;
mod service;
mod stage;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::config::RuntimeFlavor;

use crate::args::BenchArgs;

/// The services' own, so that neither the baselines nor the load generators are slower for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Counterfoil beside what one would write or pick instead, on this machine, with servers of its own.
///
/// Exit codes: 0 measured, and every answer was right; 1 something was lost, wrong or failed. A goal that is not reached is
/// no failure.
#[derive(Parser)]
#[command(name = "counterfoil-bench", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    args: BenchArgs,
}

/// What this program starts itself as.
#[derive(Subcommand)]
enum Part {
    /// Generates load: a job as JSON on standard input, its result as JSON on standard output.
    #[command(hide = true)]
    Load,
    /// Serves gRPC calls that do nothing.
    #[command(hide = true)]
    Noop,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.part {
        Some(Part::Load) => block_on(load::generate()),
        Some(Part::Noop) => RuntimeFlavor::Auto
            .block_on(noop::serve())
            .map_err(anyhow::Error::from)
            .and_then(|served| served),
        None => block_on(run::run(cli.args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counterfoil-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread is the cheapest way to generate load, and leaves the others to what is measured.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

//! `counterfoil`: runs the whole stack for development, calls the services, imports statements, verifies.
//!
//! One file per sub-command in [`command`]; what they share is in [`call`] (reaching the services), [`failure`] (what a
//! user is told when something goes wrong), [`output`] (readable and JSON), [`contract`] (messages as JSON) and [`anchor`] (signed heads of the log).

mod amount;
mod anchor;
mod call;
mod command;
mod contract;
mod failure;
mod output;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::{command::Command, failure::Failure};

/// A bank-account ledger in two halves that can be proven to match.
///
/// Exit codes: 0 done; 1 refused, not found, or a difference was found; 2 the command line or the request is malformed;
/// 3 a service or store is not available, a command was not decided because of who sends it, or its outcome is not known.
#[derive(Parser)]
#[command(name = "counterfoil", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connect: call::ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // ends with 2 when the command line is malformed
    call::connect_with(cli.connect);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(cli.command.run());
            runtime.shutdown_background(); // a read of the terminal may still be waiting
            outcome
        }
        Err(error) => Err(Failure::other(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

//! `counterfoil bench`

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use clap::Args;

use crate::failure::Failure;

/// A program of its own, so that this one does not carry what only a benchmark needs.
const PROGRAM: &str = "counterfoil-bench";

/// Measures every figure beside its baseline on this machine; `counterfoil bench --help` says how.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Bench {
    /// Handed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bench {
    /// Becomes the other program; comes back only if that fails.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let own = std::env::current_exe().context("find our own executable")?;
        let program = own.with_file_name(PROGRAM);
        if !program.is_file() {
            return Err(Failure::usage(format!(
                "{} is not there: build it with `cargo build --release -p bench`, or run `make bench`",
                program.display()
            )));
        }
        let error = Command::new(&program).args(self.arguments).exec();
        Err(Failure::other(anyhow::Error::new(error).context(format!("run {}", program.display()))))
    }
}

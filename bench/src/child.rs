//! This program as a child of itself.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{
    load::{Job, LoadResult},
    noop::Answers,
};

/// Lets a load generator do a job.
pub(crate) async fn generate(job: &Job) -> anyhow::Result<LoadResult> {
    let mut child = start("load")?;
    let mut input = child.stdin.take().context("the load generator has no input")?;
    input.write_all(&serde_json::to_vec(job)?).await.context("tell the load generator its job")?;
    drop(input); // the end of the job
    let output = child.wait_with_output().await.context("wait for the load generator")?;
    ensure!(output.status.success(), "the load generator failed");
    serde_json::from_slice(&output.stdout).context("understand the load generator")
}

/// A running server that does nothing. Dropping it ends it.
pub(crate) struct NoopServer {
    pub(crate) addr: String,
    process: Child,
}

impl NoopServer {
    /// Starts one that gives these answers.
    pub(crate) async fn start(answers: &Answers) -> anyhow::Result<Self> {
        let mut process = start("noop")?;
        let input = process.stdin.as_mut().context("the no-op server has no input")?;
        let mut line = serde_json::to_vec(answers)?;
        line.push(b'\n');
        input.write_all(&line).await.context("tell the no-op server its answers")?;
        let output = process.stdout.take().context("the no-op server has no output")?;
        let addr = BufReader::new(output).lines().next_line().await?;
        let addr = addr.context("the no-op server did not start")?;
        Ok(Self { addr, process })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}

fn start(part: &str) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("find our own executable")?;
    let mut command = Command::new(own);
    command.arg(part).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().with_context(|| format!("start {part}"))
}

//! A load generator: a process of its own that gets a job, works for a while, and says what it measured.
//!
//! One thread, few connections, nothing allocated that the call does not need: what it uses is missing elsewhere.

mod account;
mod append;
mod baseline;
mod clock;
mod cqrs_es;
mod grpc;
mod insist;
mod job;
mod lag;
mod pace;
mod recorder;
mod stream;
mod texts;

use std::io::Write;

use anyhow::Context;
use tokio::io::AsyncReadExt;

pub(crate) use account::{Dice, account_id};
pub(crate) use baseline::redis_key;
pub(crate) use job::{
    AppendWork, BaselineKind, BaselineWork, Job, Lags, Latency, LoadResult, Pace, Watch, Work,
};
pub(crate) use texts::{Text, Texts};

/// Reads the job from standard input and writes the result to standard output, as one line each.
pub(crate) async fn generate() -> anyhow::Result<()> {
    let mut text = String::new();
    tokio::io::stdin().read_to_string(&mut text).await.context("read the job")?;
    let job: Job = serde_json::from_str(&text).context("understand the job")?;
    let result = match job.work.clone() {
        Work::Baseline(work) => baseline::run(&job, work).await,
        Work::Append(work) => append::run(&job, work).await,
        Work::Redis { url, keys } => baseline::run_redis(&job, url, keys).await,
        Work::CqrsEs { url, accounts } => cqrs_es::run(&job, &url, accounts).await,
        Work::Stream { addr, accounts, outstanding } => {
            stream::run(&job, addr, accounts, outstanding).await
        }
        Work::Insist { addr, accounts } => insist::run(&job, addr, accounts).await,
        _ => grpc::run(&job).await,
    };
    let line = serde_json::to_string(&result?).context("write the result")?;
    writeln!(std::io::stdout(), "{line}").context("write the result")
}

//! Reads settings and signals, and leaves the rest to the library.

use anyhow::Context;
use clap::Parser;
use projector::Config;
use service_kit::{descriptors, shutdown, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log).context("begin logging")?;
    descriptors::raise();
    config.runtime.block_on(run(config)).context("start the runtime")?
}

async fn run(config: Config) -> anyhow::Result<()> {
    let deadline = config.shutdown.shutdown_deadline;
    let ran = shutdown::run_until_shutdown(deadline, |stop| projector::run(config, stop)).await?;
    ran.context("project the log")
}

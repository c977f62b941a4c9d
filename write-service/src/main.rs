//! Reads settings and signals, and leaves the rest to the library.

use anyhow::Context;
use clap::Parser;
use service_kit::{descriptors, server, shutdown, telemetry};
use write_service::{Config, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log).context("begin logging")?;
    descriptors::raise();
    config.runtime.block_on(run(config)).context("start the runtime")?
}

async fn run(config: Config) -> anyhow::Result<()> {
    let listener = server::bind(config.listen_addr).await?;
    let deadline = config.shutdown.shutdown_deadline;
    let served =
        shutdown::run_until_shutdown(deadline, |stop| serve(listener, config, stop)).await?;
    served.context("serve commands")
}

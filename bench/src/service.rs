//! A service as a child process, with its log in a file.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use dev_servers::Guardian;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// A service that is not ready by then has said why in its log. A projector is ready when it has caught up, which with a
/// large log takes minutes.
const READY_TIMEOUT: Duration = Duration::from_secs(1200);
const READY_INTERVAL: Duration = Duration::from_millis(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A running service. Dropping it ends it.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Where it serves gRPC, if it does.
    pub(crate) addr: SocketAddr,
    metrics_addr: SocketAddr,
    log: PathBuf,
    process: Child,
    /// Stops the process, also when we are killed.
    guardian: Guardian,
}

impl Service {
    /// Starts `program`. What we were told by the environment, it is told too: a setting is tried by setting it.
    pub(crate) fn start(
        name: &'static str,
        folder: &Path,
        log: PathBuf,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let prefix = name.to_uppercase().replace('-', "_");
        let (addr, metrics_addr) = (free_addr()?, free_addr()?);
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut command = Command::new(folder.join(name));
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.env(format!("{prefix}_LISTEN_ADDR"), addr.to_string());
        command.env(format!("{prefix}_METRICS_ADDR"), metrics_addr.to_string());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.process_group(0).kill_on_drop(true);
        let mut guardian = Guardian::start("TERM", None).context("watch over a service")?;
        let process = command
            .spawn()
            .with_context(|| format!("start {name} in {}: was it built?", folder.display()))?;
        guardian.watch(process.id()).context("watch over a service")?;
        Ok(Self { name, addr, metrics_addr, log, process, guardian })
    }

    /// While it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !is_ready(self.metrics_addr).await.unwrap_or(false) {
            if let Some(ended) = self.process.try_wait()? {
                bail!("{} ended by itself ({ended}); see {}", self.name, self.log.display());
            }
            if Instant::now() > deadline {
                bail!("{} did not become ready; see {}", self.name, self.log.display());
            }
            sleep(READY_INTERVAL).await;
        }
        Ok(())
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.guardian.release();
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            self.process.kill().await.with_context(|| format!("kill {}", self.name))?;
        }
        Ok(())
    }
}

/// An address that was free a moment ago.
fn free_addr() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener.and_then(|listener| listener.local_addr()).context("find a free port")
}

/// One request without a client library: all that counts is the first line of the answer.
async fn is_ready(addr: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12]; // HTTP/1.1 200
    stream.read_exact(&mut answer).await?;
    Ok(answer.ends_with(b" 200"))
}

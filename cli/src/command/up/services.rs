//! The three services as child processes.

use std::{io::Write, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context;
use dev_servers::Guardian;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{addresses::Addresses, stores::Urls};
use crate::{command::healthcheck::is_ready, failure::Failure};

/// A service that is not ready by then has said why in its log.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is asked.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than the services' own deadline for stopping.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// All that were started, in the order in which they are stopped.
#[derive(Default)]
pub(super) struct Services(Vec<Service>);

struct Service {
    name: &'static str,
    process: Child,
    /// Stops the process, also when we are killed.
    guardian: Guardian,
    /// Hands its output on.
    output: JoinSet<()>,
}

impl Services {
    /// Starts all three and waits until they are ready.
    pub(super) async fn start(
        &mut self,
        addresses: &Addresses,
        urls: &Urls,
        shards: Option<u16>,
    ) -> Result<(), Failure> {
        let listen = |name: &'static str, addr: &dyn ToString| (name, addr.to_string());
        let database = || ("DATABASE_URL", urls.database.expose().to_owned());
        let redis = || ("REDIS_URL", urls.redis.expose().to_owned());
        let prefix = || ("REDIS_KEY_PREFIX", urls.key_prefix.clone());
        let mut write = vec![
            database(),
            listen("WRITE_SERVICE_LISTEN_ADDR", &addresses.write),
            listen("WRITE_SERVICE_METRICS_ADDR", &addresses.write_metrics),
        ];
        write.extend(shards.map(|shards| ("COUNTERFOIL_SHARDS", shards.to_string())));
        let projector = vec![
            database(),
            redis(),
            listen("PROJECTOR_METRICS_ADDR", &addresses.projector_metrics),
        ];
        let read = vec![
            redis(),
            prefix(),
            listen("READ_SERVICE_LISTEN_ADDR", &addresses.read),
            listen("READ_SERVICE_METRICS_ADDR", &addresses.read_metrics),
        ];
        // The write service migrates the log, which the projector needs.
        self.0.push(Service::start("write-service", write)?);
        self.wait_until_ready(&addresses.write.to_string()).await?;
        self.0.push(Service::start("read-service", read)?);
        self.0.push(Service::start("projector", projector)?);
        self.wait_until_ready(&format!("http://{}/readyz", addresses.projector_metrics)).await?;
        self.wait_until_ready(&addresses.read.to_string()).await
    }

    async fn wait_until_ready(&mut self, addr: &str) -> Result<(), Failure> {
        let ready = async {
            while !is_ready(addr).await.is_ok_and(|is_ready| is_ready) {
                sleep(READY_INTERVAL).await;
            }
        };
        tokio::select! {
            ready = timeout(READY_TIMEOUT, ready) => {
                Ok(ready.with_context(|| format!("{addr} did not become ready; see its log above"))?)
            }
            ended = self.one_ended() => Err(ended),
        }
    }

    /// Waits until a service has ended by itself.
    pub(super) async fn one_ended(&mut self) -> Failure {
        let ends = self.0.iter_mut().map(|service| {
            Box::pin(async {
                let ended = service.process.wait().await;
                while service.output.join_next().await.is_some() {} // its last words
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                Failure::other(anyhow::anyhow!("{} ended by itself: {how}", service.name))
            })
        });
        futures::future::select_all(ends).await.0
    }

    /// Tells all to stop and waits until they have.
    pub(super) async fn stop(&mut self) {
        for service in &mut self.0 {
            service.guardian.release();
        }
        for service in &mut self.0 {
            if timeout(STOP_TIMEOUT, service.process.wait()).await.is_err() {
                eprintln!("counterfoil: {} does not stop and is killed", service.name);
                let _ = service.process.kill().await; // what remains is that it has ended
            }
            while service.output.join_next().await.is_some() {}
        }
    }
}

impl Service {
    fn start(name: &'static str, settings: Vec<(&'static str, String)>) -> Result<Self, Failure> {
        let mut command = Command::new(program(name)?);
        command.envs(settings).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in the terminal comes to us, and we stop it in its turn.
        command.process_group(0).kill_on_drop(true);
        let mut guardian = Guardian::start("TERM", None).context("watch over a service")?;
        let mut process = command.spawn().with_context(|| format!("start {name}"))?;
        guardian.watch(process.id()).context("watch over a service")?;
        let mut output = JoinSet::new();
        if let Some(stdout) = process.stdout.take() {
            output.spawn(hand_on(name, stdout));
        }
        if let Some(stderr) = process.stderr.take() {
            output.spawn(hand_on(name, stderr));
        }
        Ok(Self { name, process, guardian, output })
    }
}

/// Beside our own executable, where the build puts it.
fn program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().context("find our own executable")?;
    let program = own.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::usage(format!(
        "{} is not there: build the services with `cargo build --workspace`",
        program.display()
    )))
}

async fn hand_on(name: &'static str, output: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = format!("{name:13} | {line}\n");
        let _ = std::io::stderr().write_all(line.as_bytes()); // in one piece, as several write there
    }
}

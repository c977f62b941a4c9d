//! One service as a process.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use dev_servers::Guardian;
use tokio::process::{Child, Command};

/// A service that is not ready by then has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A service that can be killed and started again under the same address.
#[derive(Debug)]
pub struct Process {
    binary: &'static str,
    settings: Vec<(String, String)>,
    log: PathBuf,
    running: Option<(Child, Guardian)>,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A binary of this workspace, built beside this one.
pub(crate) fn binary_path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test --workspace` or `cargo build`",
        path.display()
    );
    path
}

impl Process {
    /// Starts `binary` with settings as environment variables; its log goes to a file beside the others of `name`.
    pub(crate) fn start(binary: &'static str, name: &str, settings: Vec<(String, String)>) -> Self {
        // Beside the binaries: a folder of everybody's would belong to whoever was first.
        let folder = binary_path(binary).with_file_name("system-tests-logs");
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join(format!("{}-{name}.log", std::process::id()));
        let mut process = Self { binary, settings, log, running: None };
        process.restart();
        process
    }

    /// Starts it again, if it does not run.
    pub fn restart(&mut self) {
        if self.running.is_some() {
            return;
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut guardian = Guardian::start("KILL", None).unwrap();
        let child = Command::new(binary_path(self.binary))
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        guardian.watch(child.id()).unwrap();
        self.running = Some((child, guardian));
    }

    /// Sets one of its environment variables, from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Waits until it ends by itself; whether it did in time.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        let Some((child, _)) = &mut self.running else { return true };
        let ended = tokio::time::timeout(time, child.wait()).await.is_ok();
        if ended {
            self.running = None;
        }
        ended
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some((mut child, guardian)) = self.running.take() {
            child.kill().await.unwrap();
            drop(guardian);
        }
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    pub async fn terminate(&mut self) -> std::process::ExitStatus {
        let (mut child, guardian) = self.running.take().expect("it runs");
        let pid = child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let status = child.wait().await.unwrap();
        drop(guardian);
        status
    }

    /// Where its log is, for a message.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.display().to_string()
    }
}

/// Waits until `what` holds, asking again and again.
///
/// # Panics
/// When it does not hold in time.
pub async fn until<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < READY_WITHIN, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! One service as a process.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
    /// Another program than the one that was built, such as an older one.
    program: Option<PathBuf>,
    starts: Arc<AtomicU64>,
}

/// A binary of this workspace, built beside this one: tests are a folder deeper than programs.
pub(crate) fn binary_path(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folders = own.ancestors().skip(1).take(2);
    let path = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    path.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo test --workspace` or `cargo build`")
    })
}

/// Where processes write their logs: beside the binaries, because a folder of everybody's would belong to whoever was first.
#[must_use]
pub fn logs_folder() -> PathBuf {
    binary_path("write-service").with_file_name("system-tests-logs")
}

impl Process {
    /// Starts `binary` with settings as environment variables; its log goes to a file beside the others of `name`.
    pub(crate) fn start(binary: &'static str, name: &str, settings: Vec<(String, String)>) -> Self {
        let folder = logs_folder();
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join(format!("{}-{name}.log", std::process::id()));
        let (running, program, starts) = (None, None, Arc::default());
        let mut process = Self { binary, settings, log, running, program, starts };
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
        let program = self.program.clone().unwrap_or_else(|| binary_path(self.binary));
        self.starts.fetch_add(1, Ordering::Relaxed);
        let child = Command::new(program)
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        guardian.watch(child.id()).unwrap();
        self.running = Some((child, guardian));
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

    /// Sends it a signal such as `STOP`. Whether it was there to get it.
    pub(crate) async fn signal(&self, signal: &str) -> bool {
        let Some(pid) = self.pid() else { return false };
        let (signal, pid) = (format!("-{signal}"), pid.to_string());
        let sent = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status().await;
        sent.is_ok_and(|status| status.success())
    }

    /// Its pid, while nobody has waited for its end.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|(child, _)| child.id())
    }

    /// Its resident memory in KiB, and its open descriptors; `None` when it is gone.
    #[must_use]
    pub fn held(&self) -> Option<(u64, u64)> {
        self.used("VmRSS:")
    }

    /// The same with the most memory that it ever had in this life.
    pub(crate) fn held_at_most(&self) -> Option<(u64, u64)> {
        self.used("VmHWM:")
    }

    fn used(&self, memory: &str) -> Option<(u64, u64)> {
        let pid = self.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix(memory));
        let memory = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let descriptors = descriptors.map_or(0, |entries| entries.count() as u64);
        Some((memory.unwrap_or_default(), descriptors))
    }

    /// Whether it runs. One that has ended by itself does not.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|(child, _)| matches!(child.try_wait(), Ok(None)))
    }

    /// How often it was started: answers of one life are told from those of another by it.
    pub(crate) fn starts(&self) -> Arc<AtomicU64> {
        self.starts.clone()
    }

    /// Takes effect with the next start.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.retain(|(set, _)| set != name);
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// The program to run from the next start on; the one that was built, if none is given.
    pub(crate) fn run_instead(&mut self, program: Option<PathBuf>) {
        self.program = program;
    }

    /// What it wrote, in all of its lives.
    #[must_use]
    pub fn log_text(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has panicked, in any of its lives.
    #[must_use]
    pub fn has_panicked(&self) -> bool {
        self.log_text().contains("panicked at")
    }

    /// Where its log is, for a message.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.display().to_string()
    }
}

/// How many descriptors this process may have.
#[must_use]
pub fn descriptors_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024)
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

//! One server process: started, waited for, signalled; the same for Postgres and Redis.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    error::{Error, io_error},
    guardian::Guardian,
};

/// Long enough for crash recovery on a slow machine; a server that needs longer has a problem to be shown.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Long enough for a shutdown checkpoint.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a starting or stopping server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// A log file that is larger than this when a server starts is put aside.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// How much of a log an error shows.
const TAIL_BYTES: u64 = 2000;

/// Where a server lives and who ends it.
#[derive(Debug)]
pub(crate) struct Server {
    program: &'static str,
    log: PathBuf,
    process: Option<Child>,
    guardian: Guardian,
}

impl Server {
    pub(crate) fn new(program: &'static str, log: PathBuf, guardian: Guardian) -> Self {
        Self { program, log, process: None, guardian }
    }

    /// Starts the process and waits until `is_ready` says so of its pid.
    pub(crate) fn start(
        &mut self,
        mut command: Command,
        is_ready: impl Fn(Pid) -> bool,
    ) -> Result<(), Error> {
        let (out, err, start) = self.open_log()?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        // A group of its own, so that Ctrl-C in the terminal does not end it before those who use it.
        let process = command.process_group(0).spawn();
        let process = process.map_err(io_error(format!("start {}", self.program)))?;
        self.process = Some(process);
        self.guardian.watch(self.process.as_ref().map(Child::id))?;
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            let Some(pid) = self.pid() else { break };
            if is_ready(pid) {
                return Ok(());
            }
            if self.has_ended()? {
                self.forget()?;
                let tail = self.tail(start).unwrap_or_else(|error| error.to_string());
                return Err(Error::NotStarted {
                    program: self.program,
                    log: self.log.clone(),
                    tail,
                });
            }
            thread::sleep(LOOK_INTERVAL);
        }
        self.kill()?;
        Err(self.timed_out("ready", START_TIMEOUT))
    }

    /// Its pid, while it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(Pid::from_child)
    }

    /// The same as a plain number.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether it has not ended, neither by us nor by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_some() && self.has_ended().is_ok_and(|ended| !ended)
    }

    /// Sends a signal and waits for the end. Fine if it has ended already.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        if !self.has_ended()? {
            self.signal(pid, signal)?;
        }
        let begun = Instant::now();
        while !self.has_ended()? {
            if begun.elapsed() > STOP_TIMEOUT {
                return Err(self.timed_out("stopped", STOP_TIMEOUT));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        self.forget()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.stop(Signal::KILL)
    }

    /// Sends a signal to the process and its children.
    pub(crate) fn signal_all(&self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.signal(pid, signal)?; // first, so that it makes no more children
        for child in children(pid) {
            let _ = kill_process(child, signal); // it may have ended in between
        }
        Ok(())
    }

    fn signal(&self, pid: Pid, signal: Signal) -> Result<(), Error> {
        let attempt = format!("send signal {} to {}", signal.as_raw(), self.program);
        kill_process(pid, signal).map_err(|errno| io_error(attempt)(errno.into()))
    }

    fn has_ended(&mut self) -> Result<bool, Error> {
        let Some(process) = &mut self.process else {
            return Ok(true);
        };
        let ended = process.try_wait();
        Ok(ended.map_err(io_error(format!("look at {}", self.program)))?.is_some())
    }

    fn forget(&mut self) -> Result<(), Error> {
        self.process = None;
        self.guardian.watch(None)
    }

    fn timed_out(&self, state: &'static str, waited: Duration) -> Error {
        Error::TimedOut { program: self.program, state, waited, log: self.log.clone() }
    }

    /// The log twice, for both outputs, and how long it is now.
    fn open_log(&self) -> Result<(File, File, u64), Error> {
        let open = || {
            if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
                fs::rename(&self.log, self.log.with_extension("log.old"))?;
            }
            let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
            let length = log.metadata()?.len();
            io::Result::Ok((log.try_clone()?, log, length))
        };
        open().map_err(io_error(format!("open {}", self.log.display())))
    }

    /// What was written since `start`, if it is not too much.
    fn tail(&self, start: u64) -> io::Result<String> {
        let mut log = File::open(&self.log)?;
        let recent = log.seek(SeekFrom::End(0))?.saturating_sub(TAIL_BYTES);
        log.seek(SeekFrom::Start(start.max(recent)))?;
        let mut text = Vec::new();
        log.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.guardian.release();
        if let Some(process) = &mut self.process {
            let _ = process.wait(); // the guardian ends it; waiting leaves no zombie behind
        }
        self.guardian.wait();
    }
}

/// The processes whose parent is `pid`.
fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let linux = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = linux.ok().or_else(|| {
        let output = Command::new("pgrep").args(["-P", &pid.to_string()]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    });
    let text = text.unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

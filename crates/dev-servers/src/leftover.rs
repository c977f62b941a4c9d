//! A server that a killed owner left behind.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

use crate::error::{Error, io_error};

/// A left-over server may be in the middle of a checkpoint.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a pid file's process turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// No process: the file is stale, or there is none.
    Nothing,
    /// The server itself.
    Server(Pid),
    /// Another program that got the pid since.
    Stranger,
}

/// Looks at the process whose pid is in the first line of `pid_file`; `is_ours` judges its command line.
pub(crate) fn find(pid_file: &Path, is_ours: impl Fn(&str) -> bool) -> Leftover {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let pid = text.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?));
    let Some(pid) = pid.filter(|pid| exists(*pid)) else {
        return Leftover::Nothing;
    };
    match command_line(pid) {
        Some(line) if !is_ours(&line) => Leftover::Stranger,
        _ => Leftover::Server(pid),
    }
}

/// Ends it cleanly and waits until it is gone.
pub(crate) fn stop(
    program: &'static str,
    pid: Pid,
    signal: Signal,
    log: &Path,
) -> Result<(), Error> {
    let attempt =
        format!("stop the {program} (pid {}) left by an earlier run", pid.as_raw_nonzero());
    let send = |signal| match kill_process(pid, signal) {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(io_error(attempt.clone())(errno.into())),
    };
    send(Signal::CONT)?; // it may have been paused
    send(signal)?;
    let begun = Instant::now();
    while exists(pid) {
        if begun.elapsed() > STOP_TIMEOUT {
            let (state, log) = ("stopped", log.to_path_buf());
            return Err(Error::TimedOut { program, state, waited: STOP_TIMEOUT, log });
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

fn exists(pid: Pid) -> bool {
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// The command line of a process, if it can be found out.
fn command_line(pid: Pid) -> Option<String> {
    let pid = pid.as_raw_nonzero().to_string();
    let linux = fs::read(Path::new("/proc").join(&pid).join("cmdline"));
    let text = linux.ok().or_else(|| {
        let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid]).output();
        output.ok().map(|output| output.stdout)
    })?;
    Some(String::from_utf8_lossy(&text).replace('\0', " "))
}

//! Ends servers whose owner has ended.
//!
//! A process that is killed cannot clean up after itself, and asking the kernel to do it needs unsafe code or Linux.
//! So a small shell (`guardian.sh`) holds the reading end of a pipe and acts when the kernel closes it.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::error::{Error, io_error};

const SCRIPT: &str = include_str!("guardian.sh");

/// A shell that watches over one process. Dropping it is like dying: the process is stopped.
#[derive(Debug)]
pub struct Guardian {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guardian {
    /// `signal` is what stops the process, such as `TERM`. `remove` is a folder that goes with it, if any.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn start(signal: &str, remove: Option<&Path>) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "guardian", signal])
            .arg(remove.unwrap_or_else(|| Path::new("")));
        // Not our output: whoever reads it to its end would wait for the guardian as well.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(io_error("start a shell that watches over a server"))?;
        let pipe = process.stdin.take();
        Ok(Self { process, pipe })
    }

    /// From now on watch over the process with this pid, or over none.
    ///
    /// # Errors
    /// When the guardian is gone.
    pub fn watch(&mut self, pid: Option<u32>) -> Result<(), Error> {
        let pid = pid.unwrap_or(0);
        let pipe = self.pipe.as_mut();
        pipe.map_or(Ok(()), |pipe| writeln!(pipe, "{pid}"))
            .map_err(io_error("tell a guardian its process"))
    }

    /// Lets the guardian do its work: the process gets its signal now.
    pub fn release(&mut self) {
        self.pipe = None;
    }

    /// Waits until it has done its work.
    pub(crate) fn wait(&mut self) {
        let _ = self.process.wait(); // nothing depends on how a shell ended
    }
}

//! Clocks that are set while processes run, each by itself.

use std::{
    fs::{File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The clock of every process of a system.
#[derive(Debug)]
pub(crate) struct Clocks {
    folder: TempDir,
    library: PathBuf,
}

impl Clocks {
    /// `None` where the library that stands between processes and their clocks cannot be made: it is for Linux, and in C.
    pub(crate) fn new() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let folder = tempfile::tempdir().ok()?;
        // Postgres may run as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).ok()?;
        let (code, library) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
        std::fs::write(&code, include_str!("clock.c")).ok()?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&code);
        compiler.status().ok()?.success().then_some(Self { folder, library })
    }

    /// What a process has to be started with. Its clock is right until it is set.
    pub(crate) fn environment(&self, process: &str) -> Vec<(String, String)> {
        self.set(process, 0);
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("CLOCK_OFFSET_FILE".to_owned(), text(&self.file(process))),
        ]
    }

    /// Sets a process's clock so many seconds ahead, or back.
    pub(crate) fn set(&self, process: &str, seconds: i64) {
        // Written over and never cut: the process has the file in its memory.
        let file =
            File::options().write(true).create(true).truncate(false).open(self.file(process));
        file.unwrap().write_all(&seconds.to_ne_bytes()).unwrap();
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.path().join(process)
    }
}

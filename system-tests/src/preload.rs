//! Libraries in C that stand between a process and its C library (`LD_PRELOAD`), and do as they are told while it runs.

use std::{
    fs::{File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// Its number is by how many seconds the clock is ahead.
    Clock,
    /// Its number is 1 while the disk is full.
    Disk,
}

impl Library {
    /// What it is in C, and the variable that names the file with its number.
    fn code_and_variable(self) -> (&'static str, &'static str) {
        match self {
            Self::Clock => (include_str!("preload/clock.c"), "CLOCK_OFFSET_FILE"),
            Self::Disk => (include_str!("preload/disk.c"), "DISK_FULL_FILE"),
        }
    }
}

/// A library before every process of a system. To each it says what its own number tells it, which is 0 at first.
#[derive(Debug)]
pub(crate) struct Preload {
    folder: TempDir,
    library: PathBuf,
    variable: &'static str,
}

impl Preload {
    /// `None` where it cannot be made: it is for Linux, and needs a C compiler.
    pub(crate) fn new(library: Library) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let folder = tempfile::tempdir().ok()?;
        // Postgres may run as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).ok()?;
        let (code, variable) = library.code_and_variable();
        let (source, library) = (folder.path().join("preload.c"), folder.path().join("preload.so"));
        std::fs::write(&source, code).ok()?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        compiler.status().ok()?.success().then_some(Self { folder, library, variable })
    }

    /// What a process has to be started with.
    pub(crate) fn environment(&self, process: &str) -> Vec<(String, String)> {
        self.set(process, 0);
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            (self.variable.to_owned(), text(&self.file(process))),
        ]
    }

    /// Tells a process its number, from now on.
    pub(crate) fn set(&self, process: &str, number: i64) {
        // Written over and never cut: the process has the file in its memory.
        let file =
            File::options().write(true).create(true).truncate(false).open(self.file(process));
        file.unwrap().write_all(&number.to_ne_bytes()).unwrap();
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.path().join(process)
    }
}

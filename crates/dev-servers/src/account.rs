//! Which operating-system account a Postgres runs as: our own, or another one when we are root.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::error::{Error, io_error};

/// Accounts to drop to, the first that exists.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Whom a Postgres runs as. Postgres refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// We are an ordinary user, and so is the server.
    Own,
    /// We are root and drop to this one.
    Other { uid: u32, gid: u32 },
}

impl Account {
    pub(crate) fn for_postgres() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let other = CANDIDATES.iter().find_map(|name| {
            Some(Self::Other { uid: id_of("-u", name)?, gid: id_of("-g", name)? })
        });
        other.ok_or_else(|| Error::Failed {
            program: "id",
            output: format!("Postgres cannot run as root, and there is no {CANDIDATES:?}"),
        })
    }

    /// A command that will run as this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C");
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid); // drops root's supplementary groups as well
        }
        command
    }

    /// Makes a folder that this account owns and nobody else can enter.
    pub(crate) fn create_folder(self, folder: &Path) -> Result<(), Error> {
        let attempt = || format!("make the folder {}", folder.display());
        fs::create_dir_all(folder).map_err(io_error(attempt()))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(io_error(attempt()))?;
        self.give(folder)
    }

    /// Makes this account the owner of a file.
    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
        if let Self::Other { uid, gid } = self {
            let attempt = format!("change the owner of {}", path.display());
            chown(path, Some(uid), Some(gid)).map_err(io_error(attempt))?;
        }
        Ok(())
    }

    /// Whether this account may go into `folder`: below root's home, another one may not.
    pub(crate) fn reaches(self, folder: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", "cd \"$1\" 2>/dev/null", "sh"]).arg(folder);
        command.status().is_ok_and(|status| status.success())
    }
}

fn id_of(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok().filter(|id| *id != 0)
}

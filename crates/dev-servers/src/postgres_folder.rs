//! The folder of a private Postgres: where it lies, who owns it, and making it.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use uuid::Uuid;

use crate::{
    account::Account,
    binary,
    error::{Error, io_error},
    leftover::{self, Leftover},
    postgres::SUPERUSER,
    tls::ServerTls,
};

/// Where the data goes when we are root and the chosen folder is below a folder that only root may enter.
const REACHABLE_ROOT: &str = "/var/lib/counterfoil";

/// A data folder that a server can be started in.
#[derive(Debug, Clone)]
pub(crate) struct PostgresFolder {
    programs: PathBuf,
    account: Account,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    /// Needed to connect; a temporary server trusts everybody on this machine.
    pub(crate) password: Option<String>,
    /// What is removed with the server.
    pub(crate) temporary: Option<PathBuf>,
}

impl PostgresFolder {
    /// A new folder that goes with its server.
    pub(crate) fn temporary() -> Result<Self, Error> {
        let new = Self::empty()?;
        new.initialise(&new.data, &["--auth=trust", "--no-sync"])?;
        Ok(new)
    }

    /// The same with a copy of another server's data, which it goes on copying.
    pub(crate) fn standby_of(url: &str) -> Result<Self, Error> {
        let new = Self::empty()?;
        let mut copy = new.command("pg_basebackup");
        copy.args(["--dbname", url, "--checkpoint=fast", "--write-recovery-conf", "--no-sync"]);
        copy.arg("-D").arg(&new.data);
        succeeds("pg_basebackup", &mut copy)?;
        Ok(new)
    }

    fn empty() -> Result<Self, Error> {
        let account = Account::for_postgres()?;
        let folder = temporary_folder(account)?;
        account.give(&folder)?;
        Ok(Self {
            programs: binary::postgres_folder(None)?,
            account,
            data: folder.join("data"),
            log: folder.join("postgres.log"),
            password: None,
            temporary: Some(folder),
        })
    }

    /// Has the server offer TLS. Postgres insists that nobody else can read its key.
    pub(crate) fn add_tls(&self, tls: &ServerTls) -> Result<(), Error> {
        for (name, text) in [("server.crt", &tls.certificate), ("server.key", &tls.key)] {
            write_private(&self.data.join(name), text, self.account)?;
        }
        Ok(())
    }

    /// Whether the server offers TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.data.join("server.key").exists()
    }

    /// The folder below `parent` whose data is kept, made if it is not there, with no server running in it.
    pub(crate) fn kept(parent: &Path) -> Result<Self, Error> {
        let account = Account::for_postgres()?;
        let folder = kept_folder(parent, account)?;
        let data = folder.join("data");
        let version = fs::read_to_string(data.join("PG_VERSION")).ok();
        let version = version.and_then(|text| text.trim().parse().ok());
        let kept = Self {
            programs: binary::postgres_folder(version)?,
            account,
            log: parent.join("postgres.log"),
            password: Some(password(&folder.join("password"), account)?),
            data,
            temporary: None,
        };
        if version.is_none() {
            kept.initialise_whole(&folder)?;
        }
        kept.stop_leftover()?;
        Ok(kept)
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// A command of the same Postgres, run as its account.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.account.command(&self.program(program))
    }

    /// Where a program of the same Postgres is.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// All or nothing: a data folder with its final name is complete.
    fn initialise_whole(&self, folder: &Path) -> Result<(), Error> {
        let unfinished = folder.join("data.unfinished");
        remove_if_there(&unfinished).map_err(io_error("remove an unfinished data folder"))?;
        let password_file = format!("--pwfile={}", folder.join("password").display());
        self.initialise(&unfinished, &["--auth=scram-sha-256", &password_file])?;
        fs::rename(&unfinished, &self.data).map_err(io_error("name the data folder"))
    }

    fn initialise(&self, data: &Path, options: &[&str]) -> Result<(), Error> {
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(data).args(["-U", SUPERUSER, "--encoding=UTF8", "--locale=C"]);
        succeeds("initdb", initdb.args(options))
    }

    /// Two servers in one folder would destroy it; Postgres guards against that too, by refusing to start.
    fn stop_leftover(&self) -> Result<(), Error> {
        let pid_file = self.data.join("postmaster.pid");
        let data = self.data.to_string_lossy();
        match leftover::find(&pid_file, |line| line.contains(&*data)) {
            Leftover::Nothing => Ok(()),
            Leftover::Server(pid) => leftover::stop("Postgres", pid, Signal::INT, &self.log),
            // The pid of a server that is gone now belongs to another program, which would keep ours from starting.
            Leftover::Stranger => {
                fs::remove_file(&pid_file).map_err(io_error("remove a stale postmaster.pid"))
            }
        }
    }
}

fn succeeds(program: &'static str, command: &mut Command) -> Result<(), Error> {
    let output = command.output().map_err(io_error(format!("run {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Failed { program, output })
}

/// `parent/postgres`, or what that is a link to.
fn kept_folder(parent: &Path, account: Account) -> Result<PathBuf, Error> {
    let attempt = || format!("make the folder {}", parent.display());
    fs::create_dir_all(parent).map_err(io_error(attempt()))?;
    let link = parent.join("postgres");
    if !link.exists() {
        remove_if_there(&link).map_err(io_error(attempt()))?; // a link whose target was removed
        if account.reaches(parent) {
            account.create_folder(&link)?;
        } else {
            let root = Path::new(REACHABLE_ROOT);
            fs::create_dir_all(root).map_err(io_error(format!("make {REACHABLE_ROOT}")))?;
            let target = root.join(Uuid::new_v4().to_string());
            account.create_folder(&target)?;
            symlink(&target, &link).map_err(io_error(attempt()))?;
        }
    }
    fs::canonicalize(&link).map_err(io_error(format!("look at {}", link.display())))
}

/// The password in the file, or a new one.
fn password(file: &Path, account: Account) -> Result<String, Error> {
    if let Ok(kept) = fs::read_to_string(file)
        && !kept.is_empty()
    {
        return Ok(kept);
    }
    let new = Uuid::new_v4().simple().to_string();
    write_private(file, &new, account)?;
    Ok(new)
}

/// A file that only its account can read, from its first letter on.
fn write_private(file: &Path, text: &str, account: Account) -> Result<(), Error> {
    let write = || {
        fs::write(file, "")?;
        fs::set_permissions(file, Permissions::from_mode(0o600))?;
        fs::write(file, text)
    };
    write().map_err(io_error(format!("write {}", file.display())))?;
    account.give(file)
}

/// A new folder that outlives us: the guardian removes it.
pub(crate) fn temporary_folder(account: Account) -> Result<PathBuf, Error> {
    let usual = std::env::temp_dir();
    let parent = if account.reaches(&usual) { usual } else { PathBuf::from("/tmp") };
    let folder = tempfile::Builder::new().prefix("counterfoil-").tempdir_in(parent);
    Ok(folder.map_err(io_error("make a temporary folder"))?.keep())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

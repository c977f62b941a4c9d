//! The folder of one `counterfoil up`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use uuid::Uuid;

use super::{addresses::Addresses, stores::Urls};
use crate::{
    failure::Failure,
    settings::{ENV_FILE, READ_ADDR, WRITE_ADDR},
};

/// Locked while this process lives.
pub(super) struct DataDir {
    pub(super) path: PathBuf,
    pub(super) is_temporary: bool,
    /// The kernel lets go of it however we end.
    _lock: File,
}

impl DataDir {
    /// The folder whose data is kept, made if it is not there.
    pub(super) fn kept(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).with_context(|| format!("make the folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("look at {}", path.display()))?;
        Self::locked(path, false)
    }

    /// A new folder that is removed at the end.
    pub(super) fn temporary() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("counterfoil-{}", Uuid::now_v7()));
        fs::create_dir_all(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Self::locked(path, true)
    }

    fn locked(path: PathBuf, is_temporary: bool) -> Result<Self, Failure> {
        let ignore = path.join(".gitignore"); // the folder often lies in a repository
        fs::write(&ignore, "*\n").with_context(|| format!("write {}", ignore.display()))?;
        let lock = File::create(path.join("lock")).context("make the lock file")?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, is_temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
                "another `counterfoil up` runs in {}: stop it, or give another folder with --data-dir",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(Failure::other(error)),
        }
    }

    /// What other commands, and shells, need to find what runs here. Only the owner may read the passwords in it.
    pub(super) fn write_env(&self, urls: &Urls, addresses: &Addresses) -> Result<(), Failure> {
        let text = format!(
            "export DATABASE_URL='{}'\nexport REDIS_URL='{}'\nexport REDIS_KEY_PREFIX='{}'\nexport {WRITE_ADDR}='{}'\nexport {READ_ADDR}='{}'\n",
            urls.database.expose(),
            urls.redis.expose(),
            urls.key_prefix,
            addresses.write,
            addresses.read,
        );
        let path = self.env_file();
        let write = || {
            let _ = fs::remove_file(&path); // one that is there keeps its mode
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())
        };
        Ok(write().with_context(|| format!("write {}", path.display()))?)
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.path.join(ENV_FILE)
    }

    /// Nothing runs here any more.
    pub(super) fn leave(self) {
        let _ = match self.is_temporary {
            true => fs::remove_dir_all(&self.path),
            false => fs::remove_file(self.env_file()),
        };
    }
}

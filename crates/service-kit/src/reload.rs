//! Files that are read again when they change: certificates, keys, lists of rights.
//!
//! Their content is compared, not their time: a mounted secret is swapped by a symbolic link, and copies keep old times. What
//! cannot be used, such as a certificate whose key has not come yet, is told of once, and the last good content stays in use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// How often files are looked at. They are small and local, and a change of keys can wait so long.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why nothing could be made of files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// One of them cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// They were read, and are of no use.
    #[error("use the {what}: {why}")]
    Useless {
        /// What they should be.
        what: &'static str,
        /// What is wrong; nothing of their content.
        why: String,
    },
}

/// What was made of files, kept up to date until it is dropped. Clones share it.
pub struct Reloaded<T> {
    current: watch::Receiver<Arc<T>>,
    _watching: Arc<AbortOnDropHandle<()>>,
}

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), _watching: self._watching.clone() }
    }
}

/// Says nothing of the content: it may be a key.
impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloaded")
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads files for the first time, and keeps looking at them. `make` gets their contents in the order of `files`, and may
    /// say why they are of no use, without repeating any of them.
    ///
    /// # Errors
    /// They cannot be used now: whoever starts with them should not.
    pub async fn begin(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, FileError> {
        let contents = contents_of(&files).await?;
        let first = make(&contents).map_err(|why| FileError::Useless { what, why })?;
        let (changes, current) = watch::channel(Arc::new(first));
        let watching = Watching { what, files, make, contents, changes, complaint: None };
        #[allow(clippy::disallowed_methods, reason = "owned by what is returned")]
        let task = tokio::spawn(watching.run());
        Ok(Self { current, _watching: Arc::new(AbortOnDropHandle::new(task)) })
    }

    /// What the files say, as far as they could last be used.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.current.borrow().clone()
    }
}

struct Watching<T, M> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: M,
    /// What is in use was made of this.
    contents: Vec<Vec<u8>>,
    changes: watch::Sender<Arc<T>>,
    /// What was last told of, so that it is told once.
    complaint: Option<String>,
}

impl<T, M: Fn(&[Vec<u8>]) -> Result<T, String>> Watching<T, M> {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let found = match contents_of(&self.files).await {
            Ok(found) => found,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                return self.complain(format!("{error}: {}", cause.unwrap_or_default()));
            }
        };
        if found == self.contents {
            self.complaint = None;
            return;
        }
        match (self.make)(&found) {
            Ok(made) => {
                self.changes.send_replace(Arc::new(made));
                self.contents = found;
                self.complaint = None;
                info!(what = self.what, "files have changed and were read again");
            }
            Err(why) => self.complain(why),
        }
    }

    fn complain(&mut self, why: String) {
        if self.complaint.as_ref() != Some(&why) {
            let what = self.what;
            warn!(what, error = why, "changed files are of no use, what was read before stays");
            self.complaint = Some(why);
        }
    }
}

async fn contents_of(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    let mut contents = Vec::with_capacity(files.len());
    for path in files {
        let read = tokio::fs::read(path).await;
        contents.push(read.map_err(|cause| FileError::Read { path: path.clone(), cause })?);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u32, String> {
        let text = str::from_utf8(&contents[0]).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| "it is no number".to_owned())
    }

    /// Until something holds, in the tests' own time.
    async fn until(condition: impl Fn() -> bool) {
        for _ in 0..1000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not come to pass");
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_useless_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let reloaded = Reloaded::begin("number", vec![path.clone()], number).await.unwrap();
        assert_eq!(*reloaded.get(), 1);
        std::fs::write(&path, "2").unwrap();
        until(|| *reloaded.get() == 2).await;
        for useless in ["x", ""] {
            std::fs::write(&path, useless).unwrap();
            tokio::time::sleep(LOOK_INTERVAL + Duration::from_millis(200)).await;
            assert_eq!(*reloaded.get(), 2, "{useless:?}");
        }
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(LOOK_INTERVAL + Duration::from_millis(200)).await;
        assert_eq!(*reloaded.get(), 2);
        std::fs::write(&path, "3").unwrap();
        until(|| *reloaded.get() == 3).await;
    }

    #[tokio::test]
    async fn nothing_begins_with_a_file_that_is_not_there_or_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let absent = Reloaded::begin("number", vec![path.clone()], number).await.err();
        assert!(absent.unwrap().to_string().contains("number"));
        std::fs::write(&path, "hunter2").unwrap();
        let useless = Reloaded::begin("number", vec![path], number).await.err().unwrap();
        assert_eq!(useless.to_string(), "use the number: it is no number");
    }
}

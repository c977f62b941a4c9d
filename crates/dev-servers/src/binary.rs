//! Where the servers' programs are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

/// Oldest Postgres that the log's schema is written for.
const POSTGRES_VERSION_MIN: u32 = 15;

/// Folders of Homebrew, on Apple and on Intel machines.
const HOMEBREW: [&str; 2] = ["/opt/homebrew", "/usr/local"];

/// The folder with `postgres` and `initdb`: that on the PATH if it is new enough, otherwise the newest. Data that is there
/// already needs the version it was made with.
pub(crate) fn postgres_folder(of_data: Option<u32>) -> Result<PathBuf, Error> {
    let on_path = on_path("postgres").and_then(|found| {
        // Debian and others link single programs into the PATH; initdb is beside the real one.
        let real = fs::canonicalize(found).ok()?;
        real.parent().map(Path::to_path_buf)
    });
    let mut others: Vec<PathBuf> = postgres_folders();
    others.sort_by_key(|folder| std::cmp::Reverse(postgres_version(folder)));
    on_path
        .into_iter()
        .chain(others)
        .find(|folder| {
            let version = postgres_version(folder);
            version >= Some(POSTGRES_VERSION_MIN)
                && of_data.is_none_or(|of_data| version == Some(of_data))
                && folder.join("initdb").is_file()
        })
        .ok_or_else(|| Error::NotInstalled {
            program: match of_data {
                Some(version) => format!("PostgreSQL {version}, which the data was made with,"),
                None => format!("PostgreSQL {POSTGRES_VERSION_MIN} or newer"),
            },
            hint: "apt-get install postgresql, or brew install postgresql@17",
            setting: "DATABASE_URL",
        })
}

/// A Redis or Valkey server, whichever is there.
pub(crate) fn redis() -> Result<PathBuf, Error> {
    let names = ["redis-server", "valkey-server"];
    names
        .iter()
        .find_map(|name| on_path(name))
        .or_else(|| {
            let folders = HOMEBREW.iter().map(|root| Path::new(root).join("bin"));
            let mut candidates = folders.flat_map(|folder| names.map(|name| folder.join(name)));
            candidates.find(|path| path.is_file())
        })
        .ok_or_else(|| Error::NotInstalled {
            program: "redis-server or valkey-server".to_owned(),
            hint: "apt-get install redis-server, or brew install redis",
            setting: "REDIS_URL",
        })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let output =
        Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = PathBuf::from(path.trim_end());
    path.is_absolute().then_some(path)
}

/// Where Debian, RPM packages and Homebrew put the versions that are not on the PATH.
fn postgres_folders() -> Vec<PathBuf> {
    let debian = children("/usr/lib/postgresql");
    let rpm = children("/usr").into_iter().filter(|folder| named(folder, "pgsql-"));
    let homebrew = HOMEBREW
        .iter()
        .flat_map(|root| children(&format!("{root}/opt")))
        .filter(|folder| named(folder, "postgresql@"));
    debian.into_iter().chain(rpm).chain(homebrew).map(|folder| folder.join("bin")).collect()
}

fn children(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn named(folder: &Path, prefix: &str) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

fn postgres_version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    parse_version(&String::from_utf8(output.stdout).ok()?)
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_kind_of_build() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_version("postgres (PostgreSQL) 18.1\n"), Some(18));
        assert_eq!(parse_version("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(parse_version("something else"), None);
    }
}

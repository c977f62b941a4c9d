//! Where the services and stores are: by flag, by environment variable, or by the file that `counterfoil up` leaves.

use std::{fs, path::Path};

use clap::Args;
use read_model::{DEFAULT_KEY_PREFIX, StoreConfig};
use service_kit::config::{DatabaseUrl, RedisUrl, env_var};

use crate::failure::Failure;

/// What `up` writes into its data folder while it runs, in a form that a shell can read as well.
pub(crate) const ENV_FILE: &str = "env";
/// Where `up` keeps its data unless told otherwise.
pub(crate) const DATA_DIR: &str = ".counterfoil";
pub(crate) const WRITE_ADDR: &str = "COUNTERFOIL_WRITE_ADDR";
pub(crate) const READ_ADDR: &str = "COUNTERFOIL_READ_ADDR";

/// Where the write service is.
#[derive(Args)]
pub(crate) struct WriteAddr {
    /// The write service [default: that of a running `counterfoil up` in this folder, or 127.0.0.1:50051]
    #[arg(long, env = WRITE_ADDR, value_name = "HOST:PORT")]
    write_addr: Option<String>,
}

/// Where the read service is.
#[derive(Args)]
pub(crate) struct ReadAddr {
    /// The read service [default: that of a running `counterfoil up` in this folder, or 127.0.0.1:50052]
    #[arg(long, env = READ_ADDR, value_name = "HOST:PORT")]
    read_addr: Option<String>,
}

/// Where the log is.
#[derive(Args)]
pub(crate) struct LogDatabase {
    /// Postgres with the log [default: that of a running `counterfoil up` in this folder]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<DatabaseUrl>,
}

/// Where the read model is.
#[derive(Args)]
pub(crate) struct ReadModelStore {
    /// Redis with the read model [default: that of a running `counterfoil up` in this folder]
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<RedisUrl>,
    /// First part of every Redis key, as the services have it [default: that of a running `counterfoil up` in this folder, or cf]
    #[arg(long, env = "REDIS_KEY_PREFIX")]
    redis_key_prefix: Option<String>,
}

impl WriteAddr {
    pub(crate) fn get(&self) -> String {
        self.write_addr
            .clone()
            .or_else(|| left_by_up(WRITE_ADDR))
            .unwrap_or_else(|| "127.0.0.1:50051".into())
    }

    /// What another command needs to reach the same service: nothing if it finds it as we did.
    pub(crate) fn flag(&self) -> Option<[&str; 2]> {
        let given = self.write_addr.as_deref()?;
        (env_var(WRITE_ADDR).as_deref() != Some(given)).then_some(["--write-addr", given])
    }
}

impl ReadAddr {
    pub(crate) fn get(&self) -> String {
        self.read_addr
            .clone()
            .or_else(|| left_by_up(READ_ADDR))
            .unwrap_or_else(|| "127.0.0.1:50052".into())
    }
}

impl LogDatabase {
    pub(crate) fn get(&self) -> Result<DatabaseUrl, Failure> {
        let left = || left_by_up("DATABASE_URL").map(DatabaseUrl::new);
        self.database_url.clone().or_else(left).ok_or_else(|| missing("DATABASE_URL"))
    }
}

impl ReadModelStore {
    /// How to reach it.
    pub(crate) fn config(&self) -> Result<StoreConfig, Failure> {
        let left = || left_by_up("REDIS_URL").map(RedisUrl::new);
        let url = self.redis_url.clone().or_else(left).ok_or_else(|| missing("REDIS_URL"))?;
        let mut config = StoreConfig::new(url.expose());
        let prefix = self.redis_key_prefix.clone().or_else(|| left_by_up("REDIS_KEY_PREFIX"));
        config.key_prefix = prefix.unwrap_or_else(|| DEFAULT_KEY_PREFIX.to_owned());
        Ok(config)
    }
}

fn missing(name: &str) -> Failure {
    Failure::usage(format!(
        "{name} is not set, and no `counterfoil up` runs in this folder (there is no {DATA_DIR}/{ENV_FILE})"
    ))
}

/// What a running `up` says in its file.
fn left_by_up(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(DATA_DIR).join(ENV_FILE)).ok()?;
    find(&text, name)
}

/// The value in a line `export NAME='value'`.
fn find(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_matches('\'').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_setting_is_found_by_its_whole_name() {
        let text = "export REDIS_URL_OTHER='x'\nexport REDIS_URL='redis://:a=b@127.0.0.1:1'\n";
        assert_eq!(find(text, "REDIS_URL").unwrap(), "redis://:a=b@127.0.0.1:1");
        assert_eq!(find(text, "DATABASE_URL"), None);
    }
}

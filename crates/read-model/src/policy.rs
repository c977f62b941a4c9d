//! A Redis that throws keys away cannot hold a read model: a missing key would mean nothing.

use std::collections::HashMap;

use crate::{Error, connection::Connection};

const SETTING: &str = "maxmemory-policy";
const NEEDED: &str = "noeviction";

/// Makes sure that Redis answers, and that it refuses writes rather than evicting when its memory is full.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg(SETTING);
    let settings = connection.try_command::<HashMap<String, String>>(&get).await;
    let policy = match settings {
        Ok(mut settings) => settings.remove(SETTING),
        Err(error) if error.code().is_some() => from_info(connection, &error).await?,
        Err(error) => return Err(Error::redis("ask Redis for its maxmemory-policy", error)),
    };
    match policy {
        Some(policy) if policy != NEEDED => Err(Error::Evicting { policy }),
        Some(_) => Ok(()),
        None => {
            tracing::warn!("Redis does not tell its maxmemory-policy; it must be noeviction");
            Ok(())
        }
    }
}

/// Providers often forbid CONFIG, but answer INFO.
async fn from_info(
    connection: &Connection,
    refused: &redis::RedisError,
) -> Result<Option<String>, Error> {
    tracing::warn!(error = %refused, "CONFIG GET is refused; asking INFO for the maxmemory-policy");
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let info: String = connection.command("ask Redis for INFO memory", &info).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
    Ok(line.map(|policy| policy.trim().to_owned()))
}

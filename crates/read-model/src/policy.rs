//! A Redis that throws keys away cannot hold a read model: a missing key would mean nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use redis::RedisError;

use crate::{
    Error,
    connection::{Connection, asked},
};

const DOING: &str = "ask Redis for its maxmemory-policy";
const SETTING: &str = "maxmemory-policy";
const NEEDED: &str = "noeviction";

/// How Redis told its policy when it was last asked. It is asked all the time, and what is worth a warning is a change.
#[derive(Clone, Default)]
pub(crate) struct PolicyCheck(Arc<Mutex<Source>>);

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Source {
    #[default]
    Config,
    /// Providers often forbid CONFIG, but answer INFO.
    Info,
    Nowhere,
}

impl PolicyCheck {
    /// Makes sure that Redis answers, and that it refuses writes rather than evicting when its memory is full.
    pub(crate) async fn run(&self, connection: &Connection) -> Result<(), Error> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(SETTING);
        let asking = connection.try_command::<HashMap<String, String>>(&get);
        let settings = asked(DOING, asking).await;
        let (policy, refused) = match settings {
            Ok(mut settings) => (settings.remove(SETTING), None),
            Err(error) if error.code().is_some() => (from_info(connection).await?, Some(error)),
            Err(error) => return Err(Error::redis(DOING, error)),
        };
        let source = match (&policy, &refused) {
            (None, _) => Source::Nowhere,
            (Some(_), None) => Source::Config,
            (Some(_), Some(_)) => Source::Info,
        };
        if self.is_news(source) {
            warn(source, refused.as_ref());
        }
        match policy {
            Some(policy) if policy != NEEDED => Err(Error::Evicting { policy }),
            _ => Ok(()),
        }
    }

    fn is_news(&self, source: Source) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, source) != source
    }
}

async fn from_info(connection: &Connection) -> Result<Option<String>, Error> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let info: String = connection.command("ask Redis for INFO memory", &info).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
    Ok(line.map(|policy| policy.trim().to_owned()))
}

fn warn(source: Source, refused: Option<&RedisError>) {
    let error = refused.map(tracing::field::display);
    match source {
        Source::Config => tracing::info!("Redis tells its maxmemory-policy"),
        Source::Info => {
            tracing::warn!(error, "CONFIG GET is refused; asking INFO for the maxmemory-policy");
        }
        Source::Nowhere => {
            tracing::warn!(
                error,
                "Redis does not tell its maxmemory-policy; it must be noeviction"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_news() {
        let check = PolicyCheck::default();
        let clone = check.clone();
        let told = [Source::Config, Source::Info, Source::Info, Source::Nowhere, Source::Config];
        let news = told.map(|source| clone.is_news(source));
        assert_eq!(news, [false, true, false, true, true]);
        assert!(!check.is_news(Source::Config), "clones know the same");
    }
}

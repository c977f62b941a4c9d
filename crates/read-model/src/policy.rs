//! A Redis that throws keys away cannot hold a read model, because a missing key would mean nothing; nor can one that copies
//! another, because it takes no writes and may be behind.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, connection::Connection};

const NEEDED_POLICY: &str = "noeviction";

/// Whether Redis told what it was last asked. It is asked all the time, and what is worth a warning is a change.
#[derive(Clone, Default)]
pub(crate) struct PolicyCheck(Arc<Mutex<Told>>);

/// What Redis says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    policy: bool,
    role: bool,
}

/// Nothing is warned of before it was asked for.
impl Default for Told {
    fn default() -> Self {
        Self { policy: true, role: true }
    }
}

impl PolicyCheck {
    /// Makes sure that Redis answers, that it refuses writes rather than evicting when its memory is full, and that it is nobody's
    /// replica. By INFO, which is allowed where CONFIG is not.
    pub(crate) async fn run(&self, connection: &Connection) -> Result<(), Error> {
        let mut info = redis::cmd("INFO");
        info.arg("memory").arg("replication");
        let info: String = connection.command("ask Redis how it is set up", &info).await?;
        let (policy, role) = (value(&info, "maxmemory_policy"), value(&info, "role"));
        let told = Told { policy: policy.is_some(), role: role.is_some() };
        if self.is_news(told) {
            warn(told);
        }
        match (policy, role) {
            (Some(policy), _) if policy != NEEDED_POLICY => {
                Err(Error::Evicting { policy: policy.to_owned() })
            }
            (_, Some(role)) if role != "master" => Err(Error::Replica),
            _ => Ok(()),
        }
    }

    fn is_news(&self, told: Told) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, told) != told
    }
}

/// The value in a line `name:value`.
fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(of_name).map(str::trim)
}

fn warn(told: Told) {
    if !told.policy {
        tracing::warn!("Redis does not tell its maxmemory-policy; it must be noeviction");
    }
    if !told.role {
        tracing::warn!("Redis does not tell whether it is a replica; it must not be one");
    }
    if told == Told::default() {
        tracing::info!("Redis tells its maxmemory-policy and its role again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_news() {
        let check = PolicyCheck::default();
        let clone = check.clone();
        let all = Told::default();
        let no_policy = Told { policy: false, ..all };
        let no_role = Told { role: false, ..all };
        let news = [all, no_policy, no_policy, no_role, all].map(|told| clone.is_news(told));
        assert_eq!(news, [false, true, false, true, true]);
        assert!(!check.is_news(all), "clones know the same");
    }

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let info = "# Replication\r\nmaster_replid:7\r\nrole:master\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(value(info, "role"), Some("master"));
        assert_eq!(value(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(value(info, "maxmemory"), None);
    }
}

//! `counterfoil redis-acl`

use clap::Args;
use read_model::{DEFAULT_KEY_PREFIX, acl_users};

use crate::failure::Failure;
use crate::output::out;

/// Prints users for Redis that may do what projector and read-service do, and nothing else: an ACL file.
///
/// The users have no passwords yet, so nobody can log in as them. Add to each line the password's hash, as `#` and the
/// hex digits of its SHA-256. The user `default`, whom everybody is who does not log in, is switched off.
#[derive(Args)]
pub(crate) struct RedisAcl {
    /// First part of every Redis key, as the services have it
    #[arg(long, env = "REDIS_KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX)]
    redis_key_prefix: String,
}

impl RedisAcl {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let users = acl_users(&self.redis_key_prefix).map_err(Failure::usage_of)?;
        out!("user default off resetpass resetkeys resetchannels -@all\n");
        for user in users {
            out!("{user}\n");
        }
        Ok(())
    }
}

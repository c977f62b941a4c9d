//! Which commands a projector and a read-service need of Redis, as rules that Redis enforces.
//!
//! What is not named here is refused: nobody may flush, look at settings, or read what belongs to others.

use crate::{Error, Keyspace};

/// What both need: to find out whether Redis is fit, to load scripts, to be told that it is alive, to choose a database.
const EVERYBODY: &str = "+info +ping +select +time +script|load +evalsha_ro";

/// What queries are made of, scripts included.
const READING: &str = "+get +mget +getrange +hget +hgetall +zrange";

/// What a projector reads beside that, to compare and to clear away. `counterfoil verify` needs it too.
const INSPECTING: &str = "+exists +hlen +scan +type +zscore +multi +exec";

/// Ends a script that never would. A reader can load one, which then keeps everybody out, and nobody else in the file may do anything
/// about it. Only a script that has written nothing can be ended so.
const RESCUING: &str = "+script|kill";

/// What a projector changes.
const WRITING: &str = "+evalsha +set +mset +setrange +hset +hdel +zadd +zrem +unlink +del +publish";

/// Being told of commits.
const LISTENING: &str = "+subscribe +unsubscribe";

/// A user of Redis, without a password: as long as it has none, nobody can log in as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclUser {
    /// Its name.
    pub name: &'static str,
    /// What it may do, as `ACL SETUSER` takes it.
    pub rules: String,
}

/// The users of a read model under a prefix.
///
/// # Errors
/// [`Error::KeyPrefix`].
pub fn acl_users(key_prefix: &str) -> Result<[AclUser; 2], Error> {
    let ours = Keyspace::new(key_prefix)?.everything_pattern();
    let common = format!("resetkeys resetchannels &{ours} -@all {EVERYBODY} {READING}");
    Ok([
        AclUser {
            name: "counterfoil-projector",
            rules: format!("on {common} ~{ours} {INSPECTING} {RESCUING} {WRITING}"),
        },
        // %R~: keys that it may read, whatever a command would do with them.
        AclUser { name: "counterfoil-reader", rules: format!("on {common} %R~{ours} {LISTENING}") },
    ])
}

impl std::fmt::Display for AclUser {
    /// A line of an ACL file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {} {}", self.name, self.rules)
    }
}

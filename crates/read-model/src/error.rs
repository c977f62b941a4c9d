//! What can go wrong between us and Redis, told apart by what the caller does next.

use redis::RedisError;

use crate::{View, codec::Malformed};
use ledger::Shard;

/// A failure of the read model. None of them means "not there".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis cannot be reached, timed out, is loading, or refused for want of memory. Trying again is right;
    /// whether a write was done is unknown.
    #[error("{doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        #[source]
        source: RedisError,
    },
    /// The view has no generation that queries may see, or that generation lost its checkpoint. A projector
    /// will build one.
    #[error("view {view} of shard {shard} is not built")]
    NotBuilt {
        /// The view.
        view: View,
        /// The shard.
        shard: Shard,
    },
    /// What is stored contradicts itself. Nothing may be answered from it; the sweep or a rebuild will repair it.
    #[error("view {view} of shard {shard} contradicts itself: {what}")]
    Inconsistent {
        /// The view.
        view: View,
        /// The shard.
        shard: Shard,
        /// The contradiction.
        what: String,
    },
    /// Redis may throw keys away when its memory is full, and a missing key would then mean nothing.
    #[error("Redis's maxmemory-policy is {policy}, but must be noeviction")]
    Evicting {
        /// The policy that was found.
        policy: String,
    },
    /// Redis copies another one: what is written there is refused, and what is read there may be old.
    #[error("Redis is a replica of another one: REDIS_URL must lead to its master")]
    Replica,
    /// The way to Redis is not protected as its URL asks for, or not said to be.
    #[error("REDIS_URL: {0}")]
    Unprotected(store_tls::Error),
    /// The URL is not one of a Redis.
    #[error("REDIS_URL is not a Redis URL")]
    Url(#[source] RedisError),
    /// The key prefix has other characters than letters, digits and `._-`.
    #[error("the key prefix {0:?} has other characters than letters, digits and ._-")]
    KeyPrefix(String),
    /// Somebody else wrote first, or what was to be written belongs to something that is gone. Read everything anew.
    #[error("{doing}: Redis has moved on")]
    Conflict {
        /// What was being done.
        doing: &'static str,
    },
    /// A key holds another kind of value than ours. The generation cannot be continued.
    #[error("{doing}: a key holds another kind of value")]
    WrongType {
        /// What was being done.
        doing: &'static str,
        /// As Redis said it.
        #[source]
        source: RedisError,
    },
    /// This Redis holds the read model of another log, whose projectors are alive. Ours must not overwrite it.
    #[error("this Redis belongs to log {owner}, whose projector is alive")]
    OtherLog {
        /// The log it belongs to.
        owner: ledger::LogId,
    },
}

impl Error {
    /// Sorts an error of the redis crate.
    pub(crate) fn redis(doing: &'static str, source: RedisError) -> Self {
        if source.code() == Some("WRONGTYPE") {
            return Self::WrongType { doing, source };
        }
        Self::Unavailable { doing, source }
    }

    /// A value of a view that cannot be read.
    pub(crate) fn malformed(view: View, shard: Shard, malformed: &Malformed) -> Self {
        Self::Inconsistent { view, shard, what: malformed.to_string() }
    }
}

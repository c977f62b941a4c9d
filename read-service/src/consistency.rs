//! How fresh an answer must be, as asked by a caller.

use std::time::Duration;

use ledger::{ConsistencyToken, Position, Shard, ShardCount};
use read_model::LogRecord;

use crate::error::{InvalidReason, QueryError, Violations};

/// Where a token stands in every request.
pub(crate) const TOKEN_FIELD: &str = "consistency.at_least_as_fresh";
/// Where the longest staleness stands in every request.
pub(crate) const MAX_STALENESS_FIELD: &str = "consistency.max_staleness";

/// How fresh an answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// What is there now.
    Any,
    /// It includes this prefix of the log, as far as the query touches its shards: a shard that the answer does not
    /// read cannot change it, so nobody waits for it.
    AtLeast(ConsistencyToken),
    /// The read model had all of the log at most so long ago.
    StaleAtMost(Duration),
    /// Tokens of several logs were given; at most one of them is this one.
    TokensOfSeveralLogs,
}

impl Consistency {
    /// Refuses a token that cannot be reached however long one waits.
    pub(crate) fn check_against(&self, log: &LogRecord) -> Result<(), QueryError> {
        match self {
            Self::Any | Self::StaleAtMost(_) => Ok(()),
            Self::TokensOfSeveralLogs => Err(QueryError::LogChanged { current: log.log_id }),
            Self::AtLeast(token) if token.log_id != log.log_id => {
                Err(QueryError::LogChanged { current: log.log_id })
            }
            Self::AtLeast(token) => check_shards(token, log.shards),
        }
    }

    /// The shards of an answer that are not where the caller wants them, each with the position to come to.
    pub(crate) fn unreached(
        &self,
        included: impl Iterator<Item = (Shard, Position)>,
    ) -> Vec<(Shard, Position)> {
        let Self::AtLeast(token) = self else { return Vec::new() };
        included
            .filter_map(|(shard, position)| {
                let wanted = *token.positions.get(&shard)?;
                (position < wanted).then_some((shard, wanted))
            })
            .collect()
    }
}

fn check_shards(token: &ConsistencyToken, shards: ShardCount) -> Result<(), QueryError> {
    let unknown = token.positions.keys().find(|shard| shard.get() >= shards.get());
    let Some(unknown) = unknown else { return Ok(()) };
    let mut violations = Violations::default();
    violations.add(
        TOKEN_FIELD,
        InvalidReason::TokenMalformed,
        format_args!("names shard {unknown}, and the log has {} only", shards.get()),
    );
    Err(violations.into())
}

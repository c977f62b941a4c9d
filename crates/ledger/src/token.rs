//! Consistency tokens: what a write gives, so that a read can ask for at least that.

use std::{collections::BTreeMap, fmt, str::FromStr};

use uuid::Uuid;

use crate::{LogId, Position, Shard, id::canonical};

/// First part of every token; another number will mean another form.
const VERSION: &str = "cf1";

/// Most tokens joined in one text: more than any caller could mean.
const TOKENS_MAX: usize = 64;

/// A prefix of the log: which log, and how far in each shard it names.
///
/// Written `cf1.<log id>.<shard>-<position>.<shard>-<position>`. Several, joined by commas, mean all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The log the positions are of.
    pub log_id: LogId,
    /// The last position included, per shard.
    pub positions: BTreeMap<Shard, Position>,
}

/// The text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not in the form of a token.
    #[error("not a consistency token as a write or read gave it")]
    Malformed,
    /// Tokens of different logs were joined.
    #[error("the tokens are of different logs")]
    DifferentLogs,
}

impl ConsistencyToken {
    /// A token for one place in one shard.
    #[must_use]
    pub fn at(log_id: LogId, shard: Shard, position: Position) -> Self {
        Self { log_id, positions: BTreeMap::from([(shard, position)]) }
    }

    /// Adds another place; the later one counts where both name a shard.
    pub fn include(&mut self, shard: Shard, position: Position) {
        let place = self.positions.entry(shard).or_insert(position);
        *place = position.max(*place);
    }
}

impl fmt::Display for ConsistencyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}", self.log_id)?;
        self.positions.iter().try_for_each(|(shard, position)| write!(f, ".{shard}-{position}"))
    }
}

impl FromStr for ConsistencyToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut joined: Option<Self> = None;
        for (index, part) in text.split(',').enumerate() {
            if index >= TOKENS_MAX {
                return Err(TokenError::Malformed);
            }
            let token = parse_one(part.trim()).ok_or(TokenError::Malformed)?;
            match &mut joined {
                None => joined = Some(token),
                Some(all) if all.log_id != token.log_id => return Err(TokenError::DifferentLogs),
                Some(all) => token.positions.into_iter().for_each(|(s, p)| all.include(s, p)),
            }
        }
        joined.ok_or(TokenError::Malformed)
    }
}

fn parse_one(text: &str) -> Option<ConsistencyToken> {
    let mut parts = text.split('.');
    if parts.next()? != VERSION {
        return None;
    }
    let log_id = parts.next().filter(|id| id.len() == 32)?;
    let log_id = LogId(Uuid::try_parse(log_id).ok()?);
    let mut positions = BTreeMap::new();
    for part in parts {
        let (shard, position) = part.split_once('-')?;
        let (shard, position) =
            (Shard::new(canonical(shard)?)?, Position::new(canonical(position)?)?);
        if positions.insert(shard, position).is_some() {
            return None;
        }
    }
    Some(ConsistencyToken { log_id, positions })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0190163d8694739b88c3d2f37f4c8f7e";

    fn token(text: &str) -> Result<ConsistencyToken, TokenError> {
        text.parse()
    }

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        for text in [
            format!("cf1.{LOG}"),
            format!("cf1.{LOG}.0-42"),
            format!("cf1.{LOG}.0-1.3-9223372036854775807"),
        ] {
            assert_eq!(token(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn joined_tokens_mean_the_later_position_of_each_shard() {
        let joined = token(&format!("cf1.{LOG}.0-5.1-1, cf1.{LOG}.0-3.1-9")).unwrap();
        assert_eq!(joined.to_string(), format!("cf1.{LOG}.0-5.1-9"));
    }

    #[test]
    fn tokens_of_two_logs_cannot_be_joined() {
        let other = LOG.replace('0', "1");
        assert_eq!(
            token(&format!("cf1.{LOG}.0-5,cf1.{other}.0-5")),
            Err(TokenError::DifferentLogs)
        );
    }

    #[test]
    fn what_is_not_a_token_is_malformed() {
        let cases = [
            "",
            ",",
            "cf1",
            "cf2.x.0-1",
            "0-1",
            &format!("cf1.{LOG}.0"),
            &format!("cf1.{LOG}.0--1"),
            &format!("cf1.{LOG}.00-1"),
            &format!("cf1.{LOG}.0-1.0-2"),
            &format!("cf1.{LOG}.0-1,"),
            "cf1.0190163d-8694-739b-88c3-d2f37f4c8f7e.0-1",
            &format!("cf1.{LOG}.0-1").repeat(65).replace("cf1", ",cf1"),
        ];
        for text in cases {
            assert_eq!(token(text), Err(TokenError::Malformed), "{text}");
        }
    }
}

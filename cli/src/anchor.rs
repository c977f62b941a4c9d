//! A signed head of the log, to be kept where nobody is who could rewrite the log.
//!
//! It is text, so that it can be printed, mailed and kept with the books. Format 1, each line ended by one newline:
//!
//! ```text
//! counterfoil-anchor 1
//! log <the id the log was created with, the root of its chains>
//! incarnation <number> <the log's id as of this incarnation>
//! shard <number> <last position> <hash up to there, 64 hex digits> <when that was recorded, or ->
//! key <Ed25519 public key, 64 hex digits>
//! signature <Ed25519, 128 hex digits, over all bytes before this line>
//! ```
//!
//! There is a line for every shard, ascending from 0. What a hash covers: [`event_store::chain`]. Nothing else may stand in an
//! anchor, so what is read is what was signed.

mod key;

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use event_store::{ChainLink, LogIdentity};
use humantime::format_rfc3339_micros;
use ledger::{LogId, Position, Timestamp};
use uuid::Uuid;

pub(crate) use key::{PublicKey, SigningKey};

/// The first line: what it is, and in which format.
const TITLE: &str = "counterfoil-anchor";
const FORMAT: &str = "1";

/// What an anchor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The id the log was created with.
    pub(crate) first_log_id: LogId,
    /// Which incarnation of the log it was.
    pub(crate) incarnation: i32,
    /// Its id then.
    pub(crate) log_id: LogId,
    /// One for each shard, in order.
    pub(crate) heads: Vec<AnchoredHead>,
}

/// How far a shard had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnchoredHead {
    /// Its last position; 0 if it was empty.
    pub(crate) position: Position,
    /// What identifies everything up to there.
    pub(crate) hash: [u8; 32],
    /// When its last batch was recorded, for people: the hash covers it. `-` if it was empty.
    pub(crate) recorded_at: String,
}

/// Why something is not an anchor to rely on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnchorError {
    /// It cannot be read at all.
    #[error("this is not an anchor of format {FORMAT}: {0}")]
    Malformed(String),
    /// It is somebody else's.
    #[error(
        "the anchor is signed with another key: it says {found}, and the public key given is {known}. Whoever has the other \
         key may have made it; take the anchor that you kept"
    )]
    OtherKey { found: PublicKey, known: PublicKey },
    /// It was changed after it was signed.
    #[error(
        "the anchor's signature does not fit what it says: it was edited or damaged after it was signed. Take the anchor that \
         you kept; this one proves nothing"
    )]
    Forged,
}

impl Anchor {
    /// The log with the heads of all of its shards.
    pub(crate) fn new(identity: &LogIdentity, heads: &[(ChainLink, Option<Timestamp>)]) -> Self {
        let heads = heads.iter().map(|(link, recorded_at)| AnchoredHead {
            position: link.position,
            hash: link.hash,
            recorded_at: recorded_at.map_or_else(|| "-".to_owned(), time),
        });
        Self {
            first_log_id: identity.first_log_id,
            incarnation: identity.incarnation,
            log_id: identity.log_id,
            heads: heads.collect(),
        }
    }

    /// As text, signed.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let mut text = self.text(&key.public());
        let signature = hex::encode(key.sign(text.as_bytes()));
        let _ = writeln!(text, "signature {signature}"); // a String takes everything
        text
    }

    /// Reads one and checks its signature: against the key that is known, or else against the one it names itself.
    pub(crate) fn read(
        text: &str,
        known: Option<&PublicKey>,
    ) -> Result<(Self, PublicKey), AnchorError> {
        let malformed = |what: &str| AnchorError::Malformed(what.to_owned());
        let begin = text.find("\nsignature ").ok_or_else(|| malformed("it has no signature"))? + 1;
        let (signed, signature) = text.split_at(begin);
        let signature = signature.trim_end().strip_prefix("signature ").unwrap_or_default();
        let signature: [u8; 64] =
            bytes(signature).ok_or_else(|| malformed("its signature is not 128 hex digits"))?;
        let (anchor, key) = parse(signed)?;
        if let Some(known) = known.filter(|known| **known != key) {
            return Err(AnchorError::OtherKey { found: key, known: *known });
        }
        if !key.has_signed(signed.as_bytes(), &signature) {
            return Err(AnchorError::Forged);
        }
        Ok((anchor, key))
    }

    /// Everything above the signature.
    fn text(&self, key: &PublicKey) -> String {
        let mut text = format!(
            "{TITLE} {FORMAT}\nlog {}\nincarnation {} {}\n",
            self.first_log_id.0, self.incarnation, self.log_id.0
        );
        for (shard, head) in self.heads.iter().enumerate() {
            let AnchoredHead { position, hash, recorded_at } = head;
            let hash = hex::encode(hash);
            let _ = writeln!(text, "shard {shard} {position} {hash} {recorded_at}");
        }
        let _ = writeln!(text, "key {key}");
        text
    }
}

/// Reads what is signed. Nothing is passed over: written again, it would be the same text.
fn parse(text: &str) -> Result<(Anchor, PublicKey), AnchorError> {
    let malformed = |what: String| AnchorError::Malformed(what);
    let bad = |line: &str| malformed(format!("the line {line:?} cannot be read"));
    let lines: Vec<&str> = text.lines().collect();
    let [title, log, incarnation, shards @ .., key] = &lines[..] else {
        return Err(malformed("lines are missing".to_owned()));
    };
    if words(title, TITLE) != Some([FORMAT]) {
        return Err(malformed(format!("it begins with {title:?}")));
    }
    let first = words(log, "log").and_then(|[id]| log_id(id)).ok_or_else(|| bad(log))?;
    let current = words(incarnation, "incarnation")
        .and_then(|[number, id]| number.parse().ok().zip(log_id(id)))
        .ok_or_else(|| bad(incarnation))?;
    let heads = shards.iter().map(|line| head(line).ok_or_else(|| bad(line)));
    let key =
        words(key, "key").and_then(|[key]| PublicKey::from_hex(key)).ok_or_else(|| bad(key))?;
    let anchor = Anchor {
        first_log_id: first,
        incarnation: current.0,
        log_id: current.1,
        heads: heads.collect::<Result<_, _>>()?,
    };
    if anchor.heads.is_empty() || anchor.text(&key) != text {
        return Err(malformed("it is not written as anchors are".to_owned()));
    }
    Ok((anchor, key))
}

fn head(line: &str) -> Option<AnchoredHead> {
    let [_, position, hash, recorded_at] = words(line, "shard")?;
    Some(AnchoredHead {
        position: Position::new(position.parse().ok()?)?,
        hash: bytes(hash)?,
        recorded_at: recorded_at.to_owned(),
    })
}

/// What stands behind the name of a line.
fn words<'a, const N: usize>(line: &'a str, name: &str) -> Option<[&'a str; N]> {
    let rest = line.strip_prefix(name)?.strip_prefix(' ')?;
    rest.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn log_id(text: &str) -> Option<LogId> {
    Some(LogId(Uuid::try_parse(text).ok()?))
}

/// As many bytes as there have to be.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    hex::decode(digits).ok()?.try_into().ok()
}

fn time(time: Timestamp) -> String {
    let since_1970 = Duration::from_micros(u64::try_from(time.micros()).unwrap_or_default());
    format_rfc3339_micros(UNIX_EPOCH + since_1970).to_string()
}

#[cfg(test)]
mod tests;

//! Names and places: who, and where in the log.

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest account or owner id, in bytes.
const ID_BYTES_MAX: usize = 64;

/// The id is not 1 to 64 of `A-Z a-z 0-9 . _ : -`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of letters, digits and ._:- beginning with a letter or digit")]
pub struct IdMalformed;

fn checked_id(id: &str) -> Result<Arc<str>, IdMalformed> {
    let first_is_fine = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_is_fine =
        id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if first_is_fine && rest_is_fine && id.len() <= ID_BYTES_MAX {
        Ok(Arc::from(id))
    } else {
        Err(IdMalformed)
    }
}

/// The id a caller gave an account; the name of its stream of events.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Checks the id.
    ///
    /// # Errors
    /// [`IdMalformed`] unless it is 1 to 64 of letters, digits and `._:-`, beginning with a letter or digit.
    pub fn new(id: &str) -> Result<Self, IdMalformed> {
        checked_id(id).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard the account lives in: the first 8 bytes of the id's SHA-256, big-endian, modulo the number of shards.
    /// Named and never changed, because an account that moved would lose its history.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "the divisor is not zero")]
    pub fn shard(&self, shards: ShardCount) -> Shard {
        if shards.0 == 1 {
            return Shard(0);
        }
        let hash = Sha256::digest(self.0.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        let remainder = u64::from_be_bytes(first) % u64::from(shards.0.unsigned_abs());
        Shard(i16::try_from(remainder).unwrap_or(0)) // less than an i16
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who owns an account; the same alphabet as an account id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(Arc<str>);

impl OwnerId {
    /// Checks the id.
    ///
    /// # Errors
    /// [`IdMalformed`] by the same rule as [`AccountId::new`].
    pub fn new(id: &str) -> Result<Self, IdMalformed> {
        checked_id(id).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes a command one command, however often it is sent (AIP-155). Never nil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

impl RequestId {
    /// The id, unless it is nil.
    #[must_use]
    pub fn new(id: Uuid) -> Option<Self> {
        (!id.is_nil()).then_some(Self(id))
    }

    /// The id as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a log, made when it is created and made anew when an operator declares a restored copy to be the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub Uuid);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// One of the parts a log is cut into, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(i16);

impl Shard {
    /// The only shard of a log with one.
    pub const ZERO: Self = Self(0);

    /// A shard by its number; not negative.
    #[must_use]
    pub fn new(number: i16) -> Option<Self> {
        (number >= 0).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }

    /// Its place in a list of one thing per shard.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0.unsigned_abs())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Into how many shards a log is cut, for life: 1 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardCount(i16);

impl ShardCount {
    /// The usual number: one global order.
    pub const ONE: Self = Self(1);

    /// A number of shards between 1 and 1024.
    #[must_use]
    pub fn new(count: i16) -> Option<Self> {
        (1..=1024).contains(&count).then_some(Self(count))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }

    /// The number, to count with.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::from(self.0.unsigned_abs())
    }

    /// All shards, ascending.
    pub fn shards(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }
}

/// It is not a number of shards that a log can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 1024")]
pub struct ShardCountInvalid;

impl FromStr for ShardCount {
    type Err = ShardCountInvalid;

    fn from_str(text: &str) -> Result<Self, ShardCountInvalid> {
        text.parse().ok().and_then(Self::new).ok_or(ShardCountInvalid)
    }
}

/// An account's number within its shard, counted from 1: a narrow key for wide tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountNumber(i32);

impl AccountNumber {
    /// A number of at least 1.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        (number >= 1).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

/// Place of an event in its shard of the log: 1, 2, 3 ... without a hole. 0 is the place before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(i64);

impl Position {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// A place; not negative.
    #[must_use]
    pub fn new(position: i64) -> Option<Self> {
        (position >= 0).then_some(Self(position))
    }

    /// The place as a number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The place so many events on.
    ///
    /// # Panics
    /// When a shard of the log would hold more than 2^63 events. What is read from a log counts as corrupt long before.
    #[must_use]
    pub fn plus(self, events: usize) -> Self {
        let next = i64::try_from(events).ok().and_then(|events| self.0.checked_add(events));
        Self(next.expect("a log holds fewer than 2^63 events"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Place of an event in its account's stream: the opening is 1. 0 stands for an account that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamVersion(i64);

impl StreamVersion {
    /// The version of an account that was just opened.
    pub const FIRST: Self = Self(1);

    /// A version; not negative.
    #[must_use]
    pub fn new(version: i64) -> Option<Self> {
        (version >= 0).then_some(Self(version))
    }

    /// The version as a number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The version after one more event.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1)) // an account with 2^63 events cannot come to be
    }
}

/// The name of a transaction: the place of its command's first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// The shard of the command's first event.
    pub shard: Shard,
    /// Its place in that shard.
    pub position: Position,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.position)
    }
}

/// The text is not `<shard>-<position>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be <shard>-<position>, as a write gave it")]
pub struct TransactionIdMalformed;

impl FromStr for TransactionId {
    type Err = TransactionIdMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, position) = text.split_once('-').ok_or(TransactionIdMalformed)?;
        let shard =
            canonical(shard).and_then(|n: i16| Shard::new(n)).ok_or(TransactionIdMalformed)?;
        let position = canonical(position)
            .and_then(|n: i64| Position::new(n))
            .filter(|position| *position > Position::ZERO)
            .ok_or(TransactionIdMalformed)?;
        Ok(Self { shard, position })
    }
}

/// Reads a number that is written the one way it would be written here: no sign, no leading zeros.
pub(crate) fn canonical<N: FromStr + fmt::Display>(text: &str) -> Option<N> {
    let number: N = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_have_a_small_alphabet() {
        for id in ["a", "A-1", "cz-5868", "x.y_z:1", &"a".repeat(64)] {
            assert_eq!(AccountId::new(id).unwrap().as_str(), id);
        }
        for id in ["", "-a", ".a", "a b", "ä", "a/b", "a\0", &"a".repeat(65)] {
            assert_eq!(AccountId::new(id), Err(IdMalformed), "{id}");
        }
    }

    #[test]
    fn an_account_stays_in_its_shard_for_ever() {
        let four = ShardCount::new(4).unwrap();
        let shards = ["a", "alice", "cz-5868", "cz-539"]
            .map(|id| AccountId::new(id).unwrap().shard(four).get());
        assert_eq!(shards, GOLDEN_SHARDS_OF_FOUR);
        assert_eq!(AccountId::new("alice").unwrap().shard(ShardCount::ONE), Shard::ZERO);
    }

    #[test]
    fn a_log_has_1_to_1024_shards() {
        for (text, count) in [("1", 1), ("1024", 1024)] {
            assert_eq!(text.parse::<ShardCount>().map(ShardCount::get), Ok(count));
        }
        for text in ["", "0", "-1", "1025", "65537", "4 ", "four"] {
            assert_eq!(text.parse::<ShardCount>(), Err(ShardCountInvalid), "{text}");
        }
    }

    /// Computed with another SHA-256 than ours.
    const GOLDEN_SHARDS_OF_FOUR: [i16; 4] = [2, 3, 1, 1];

    #[test]
    fn transaction_ids_have_one_spelling() {
        let id: TransactionId = "3-42".parse().unwrap();
        assert_eq!(id.to_string(), "3-42");
        for bad in [
            "",
            "3",
            "3-",
            "-3-4",
            "3-0",
            "03-4",
            "3-04",
            "3-+4",
            "3-4-5",
            "99999-1",
            "3-9223372036854775808",
        ] {
            assert_eq!(bad.parse::<TransactionId>(), Err(TransactionIdMalformed), "{bad}");
        }
    }
}

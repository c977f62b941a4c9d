//! Every key of the read model, spelled once.
//!
//! `<prefix>:v1:{<shard>}:...`: the braces keep everything of a shard, checkpoints included, in one slot of a Redis
//! Cluster, so that a script may touch all of it. A view's keys begin with its name and version, then its generation:
//!
//! | Key behind `cf:v1:{<shard>}:`                         | Type   | Holds                                              |
//! |-------------------------------------------------------|--------|----------------------------------------------------|
//! | `head`                                                | string | the end of the log's shard, when it was seen        |
//! | `checkpoints`                                         | channel| `<view> <generation> <position>` after each commit  |
//! | `<view>.<version>:generation`                         | string | the generation that queries see                     |
//! | `<view>.<version>:building`                           | string | the generation being built                          |
//! | `<view>.<version>:retired`                            | string | the generation before, and since when               |
//! | `<view>.<version>:rebuild`                            | string | present: somebody asked for a rebuild               |
//! | `<view>.<version>:<generation>:checkpoint`            | string | which prefix of the log the generation includes     |
//! | `<view>.<version>:<generation>:filling`               | string | how far values are ahead of it, while it is built   |
//! | `accounts.1:<generation>:a:<account>`                 | string | the account                                        |
//! | `accounts.1:<generation>:o:<owner>`                   | zset   | account ids of the owner, all with score 0          |
//! | `transactions.3:<generation>:h:<account>`             | string | how far the statement goes, and the newest entry    |
//! | `transactions.3:<generation>:b:<account>:<version/64>`| hash   | version to entry, or to a placeholder               |
//! | `transactions.3:<generation>:t:<position/256>`        | string | per position: account number and version of the transaction that begins there |
//! | `transactions.3:<generation>:n:<number/64>`           | hash   | account number to account id                        |
//! | `totals.1:<generation>:t`                             | string | the trial balance                                  |
//!
//! `cf:v1:log` stands outside the shards: which log this read model is of.

use std::sync::Arc;

use ledger::{AccountId, AccountNumber, OwnerId, Position, Shard, StreamVersion};

use crate::{Error, Generation, View, value};

/// Raised when keys change in a way that old and new binaries must not share.
const KEYSPACE_VERSION: u32 = 1;

/// All keys under one prefix.
#[derive(Debug, Clone)]
pub struct Keyspace {
    /// `<prefix>:v1:`
    base: Arc<str>,
}

impl Keyspace {
    /// Keys under `prefix`.
    ///
    /// # Errors
    /// [`Error::KeyPrefix`] unless it is letters, digits and `._-`: anything else could mean something in a pattern.
    pub fn new(prefix: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if prefix.is_empty() || !prefix.bytes().all(plain) {
            return Err(Error::KeyPrefix(prefix.to_owned()));
        }
        Ok(Self { base: format!("{prefix}:v{KEYSPACE_VERSION}:").into() })
    }

    /// Which log this read model is of.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}log", self.base)
    }

    /// The end of a shard of the log, when it was seen.
    #[must_use]
    pub fn head(&self, shard: Shard) -> String {
        format!("{}{{{shard}}}:head", self.base)
    }

    /// The channel on which every commit is announced.
    #[must_use]
    pub fn checkpoints(&self, shard: Shard) -> String {
        format!("{}{{{shard}}}:checkpoints", self.base)
    }

    /// The keys of a view on a shard.
    #[must_use]
    pub fn view(&self, view: View, shard: Shard) -> ViewKeys {
        let (name, version) = (view.name(), view.version());
        ViewKeys { base: format!("{}{{{shard}}}:{name}.{version}:", self.base) }
    }

    /// Matches every key and every channel.
    pub(crate) fn everything_pattern(&self) -> String {
        format!("{}*", self.base)
    }

    /// Matches every key of every generation of every view.
    pub(crate) fn all_views_pattern(&self) -> String {
        format!("{}{{*", self.base)
    }

    /// The shard, view and generation a key belongs to, and its name within the generation.
    pub(crate) fn parse<'k>(&self, key: &'k str) -> Option<(Shard, View, Generation, &'k str)> {
        let rest = key.strip_prefix(&*self.base)?.strip_prefix('{')?;
        let (shard, rest) = rest.split_once("}:")?;
        let shard = shard.parse().ok().and_then(Shard::new)?;
        let (view, rest) = rest.split_once(':')?;
        let (view, version) = view.split_once('.')?;
        let view = View::by_name(view).filter(|view| view.version().to_string() == version)?;
        let (generation, name) = rest.split_once(':')?;
        Some((shard, view, Generation::parse(generation)?, name))
    }
}

/// The keys of one view on one shard.
#[derive(Debug, Clone)]
pub struct ViewKeys {
    base: String,
}

impl ViewKeys {
    /// What all keys of the view begin with; scripts add a generation to it.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Points at the generation that queries see.
    #[must_use]
    pub fn visible(&self) -> String {
        format!("{}generation", self.base)
    }

    /// Points at the generation being built.
    #[must_use]
    pub fn building(&self) -> String {
        format!("{}building", self.base)
    }

    /// Points at the generation that was visible before.
    #[must_use]
    pub fn retired(&self) -> String {
        format!("{}retired", self.base)
    }

    /// Present when somebody asked for a rebuild.
    #[must_use]
    pub fn rebuild(&self) -> String {
        format!("{}rebuild", self.base)
    }

    /// The keys of one generation.
    #[must_use]
    pub fn generation(&self, generation: Generation) -> GenerationKeys {
        GenerationKeys { base: format!("{}{generation}:", self.base) }
    }
}

/// The keys of one generation of a view on a shard.
#[derive(Debug, Clone)]
pub struct GenerationKeys {
    base: String,
}

impl GenerationKeys {
    /// Which prefix of the log the generation includes.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        format!("{}checkpoint", self.base)
    }

    /// The stride that is being stored in the generation while it is built.
    #[must_use]
    pub fn filling(&self) -> String {
        format!("{}filling", self.base)
    }

    /// An account.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> String {
        self.of("a:", id.as_str())
    }

    /// The account ids of an owner.
    #[must_use]
    pub fn owner(&self, id: &OwnerId) -> String {
        self.of("o:", id.as_str())
    }

    /// How far an account's statement goes, and its newest entry.
    #[must_use]
    pub fn header(&self, id: &AccountId) -> String {
        self.of("h:", id.as_str())
    }

    /// The block of an account's statement that holds a version.
    #[must_use]
    pub fn block(&self, id: &AccountId, version: StreamVersion) -> String {
        self.numbered_block(id, value::block_of(version))
    }

    pub(crate) fn numbered_block(&self, id: &AccountId, block: i64) -> String {
        format!("{}b:{id}:{block}", self.base)
    }

    /// The part of the transaction index that holds a position.
    #[must_use]
    pub fn transactions(&self, position: Position) -> String {
        self.transactions_part(value::index_of(position))
    }

    pub(crate) fn transactions_part(&self, part: i64) -> String {
        format!("{}t:{part}", self.base)
    }

    /// The ids of accounts, where that of an account with this number is.
    #[must_use]
    pub fn numbers(&self, number: AccountNumber) -> String {
        self.numbers_part(value::numbers_of(number))
    }

    pub(crate) fn numbers_part(&self, part: i64) -> String {
        format!("{}n:{part}", self.base)
    }

    /// The trial balance.
    #[must_use]
    pub fn totals(&self) -> String {
        format!("{}t", self.base)
    }

    /// Spelled for every value that is stored, and so without the machinery of `format!`.
    fn of(&self, kind: &str, id: &str) -> String {
        let mut key = String::with_capacity(self.base.len() + kind.len() + id.len());
        key.push_str(&self.base);
        key.push_str(kind);
        key.push_str(id);
        key
    }

    /// Matches every key of the generation.
    pub(crate) fn pattern(&self) -> String {
        format!("{}*", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::account_id;

    #[test]
    fn keys_are_spelled_as_documented() {
        let keys = Keyspace::new("cf").unwrap();
        let accounts = keys.view(View::Accounts, Shard::ZERO);
        let generation = accounts.generation(Generation::new(7).unwrap());
        assert_eq!(keys.log(), "cf:v1:log");
        assert_eq!(keys.head(Shard::ZERO), "cf:v1:{0}:head");
        assert_eq!(accounts.visible(), "cf:v1:{0}:accounts.1:generation");
        assert_eq!(generation.checkpoint(), "cf:v1:{0}:accounts.1:7:checkpoint");
        assert_eq!(generation.account(&account_id("a:b")), "cf:v1:{0}:accounts.1:7:a:a:b");
        let version = StreamVersion::new(64).unwrap();
        assert_eq!(generation.block(&account_id("x"), version), "cf:v1:{0}:accounts.1:7:b:x:1");
    }

    #[test]
    fn a_key_says_which_generation_it_belongs_to() {
        let keys = Keyspace::new("cf").unwrap();
        let parsed = keys.parse("cf:v1:{3}:transactions.3:17:b:a:b:4").unwrap();
        let generation = Generation::new(17).unwrap();
        assert_eq!(parsed, (Shard::new(3).unwrap(), View::Transactions, generation, "b:a:b:4"));
        for other in [
            "cf:v1:log",
            "cf:v1:{0}:head",
            "cf:v1:{0}:accounts.1:generation",
            "cf:v1:{0}:accounts.2:7:a:x",
            "cf:v1:{0}:accounts.1:07:a:x",
            "cg:v1:{0}:accounts.1:7:a:x",
        ] {
            assert_eq!(keys.parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_prefix_cannot_hide_a_pattern() {
        for prefix in ["", "a*", "a:b", "{a}", "a b"] {
            assert!(Keyspace::new(prefix).is_err(), "{prefix}");
        }
    }
}

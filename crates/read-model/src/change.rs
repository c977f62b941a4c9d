//! Changes: what a projection wants a generation to hold, each at its own place.
//!
//! Every change is absolute: storing it twice is storing it once. That is why a place can also be asked what it
//! holds, and compared with what the log says it should.

use ledger::{AccountId, AccountNumber, OwnerId, Position, StreamVersion};

use crate::{
    AccountView, LatestEntry, PackedEntry, ShardTotals, StatementHeader,
    key::GenerationKeys,
    value::{IndexedTransaction, PLACEHOLDER, RECORD_BYTES, block_of, numbers_of, record_start},
};

/// One absolute change to one generation of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Accounts: the account as it stands.
    Account(AccountView),
    /// Accounts: the owner has the account.
    Owned {
        /// The owner.
        owner_id: OwnerId,
        /// One of its accounts.
        account_id: AccountId,
    },
    /// Transactions: how far the account's statement goes; its newest entry stays as it is.
    Header {
        /// The account.
        account_id: AccountId,
        /// Its statement's head.
        header: StatementHeader,
    },
    /// Transactions: how far the account's statement goes, and its newest entry.
    Latest {
        /// The account.
        account_id: AccountId,
        /// Its statement's head.
        header: StatementHeader,
        /// The entry's version.
        version: StreamVersion,
        /// The entry.
        entry: PackedEntry,
    },
    /// Transactions: an entry in its block.
    Entry {
        /// The account.
        account_id: AccountId,
        /// The entry's version.
        version: StreamVersion,
        /// The entry.
        entry: PackedEntry,
    },
    /// Transactions: a version that moved no money, in its block.
    NoEntry {
        /// The account.
        account_id: AccountId,
        /// The version.
        version: StreamVersion,
    },
    /// Transactions: where the entry of the transaction that begins at a position stands.
    Indexed {
        /// The position.
        position: Position,
        /// The account's number.
        account: AccountNumber,
        /// The entry's version.
        version: StreamVersion,
    },
    /// Transactions: which account has a number.
    Numbered {
        /// The number.
        number: AccountNumber,
        /// The account.
        account_id: AccountId,
    },
    /// Transactions: a block that is no longer kept.
    BlockDropped {
        /// The account.
        account_id: AccountId,
        /// The block.
        block: i64,
    },
    /// Totals: the trial balance.
    Totals(ShardTotals),
}

/// Where something stands in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A string.
    Text {
        /// The key.
        key: String,
    },
    /// A field of a hash.
    Field {
        /// The key of the hash.
        key: String,
        /// The field.
        field: i64,
    },
    /// Some bytes of a string, which is filled up with zeros in front of them. Where it ends earlier, they read as nothing.
    Range {
        /// The key.
        key: String,
        /// The first byte, counted from 0.
        start: usize,
        /// How many there are.
        length: usize,
    },
    /// A member of a set that is read in the order of its members, for which all must have the score 0.
    Member {
        /// The key of the set.
        key: String,
        /// The member.
        member: String,
    },
    /// A whole hash.
    Hash {
        /// The key of the hash.
        key: String,
    },
    /// A field of a hash or a member of a set under a name that nothing of ours has.
    Stray {
        /// The key of the hash or set.
        key: String,
        /// The field or member.
        name: Vec<u8>,
    },
    /// A key as far as it is of another type than it should be; then it holds the name of that type.
    WrongType {
        /// The key.
        key: String,
        /// What it should be, as Redis names it.
        right: &'static str,
    },
}

impl Change {
    /// Where it is stored.
    #[must_use]
    pub fn place(&self, keys: &GenerationKeys) -> Place {
        match self {
            Self::Account(view) => Place::Text { key: keys.account(&view.opening.account_id) },
            Self::Owned { owner_id, account_id } => {
                Place::Member { key: keys.owner(owner_id), member: account_id.as_str().to_owned() }
            }
            Self::Header { account_id, header } => {
                let length = header.encode().len();
                Place::Range { key: keys.header(account_id), start: 0, length }
            }
            Self::Latest { account_id, .. } => Place::Text { key: keys.header(account_id) },
            Self::Entry { account_id, version, .. } | Self::NoEntry { account_id, version } => {
                Place::Field { key: keys.block(account_id, *version), field: version.get() }
            }
            Self::Indexed { position, .. } => {
                let (key, start) = (keys.transactions(*position), record_start(*position));
                Place::Range { key, start, length: RECORD_BYTES }
            }
            Self::Numbered { number, .. } => {
                Place::Field { key: keys.numbers(*number), field: number.get().into() }
            }
            Self::BlockDropped { account_id, block } => {
                Place::Hash { key: keys.numbered_block(account_id, *block) }
            }
            Self::Totals(_) => Place::Text { key: keys.totals() },
        }
    }

    /// What that place then holds: `None` is nothing, and a member of a set is there with no bytes of its own.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Account(view) => Some(view.encode()),
            Self::Owned { .. } => Some(Vec::new()),
            Self::Header { header, .. } => Some(header.encode()),
            Self::Latest { header, version, entry, .. } => {
                Some(LatestEntry::encode(header, *version, entry))
            }
            Self::Entry { entry, .. } => Some(entry.as_bytes().to_vec()),
            Self::NoEntry { .. } => Some(PLACEHOLDER.to_vec()),
            Self::Indexed { account, version, .. } => {
                let indexed = IndexedTransaction { account: *account, version: *version };
                Some(indexed.encode().to_vec())
            }
            Self::Numbered { account_id, .. } => Some(account_id.as_str().as_bytes().to_vec()),
            Self::BlockDropped { .. } => None,
            Self::Totals(totals) => Some(totals.encode()),
        }
    }

    /// The field it is in a hash, and which hash among those of its kind.
    pub(crate) fn field(&self) -> Option<(Option<&AccountId>, i64, i64)> {
        match self {
            Self::Entry { account_id, version, .. } | Self::NoEntry { account_id, version } => {
                Some((Some(account_id), block_of(*version), version.get()))
            }
            Self::Numbered { number, .. } => Some((None, numbers_of(*number), number.get().into())),
            Self::Account(_)
            | Self::Owned { .. }
            | Self::Header { .. }
            | Self::Latest { .. }
            | Self::Indexed { .. }
            | Self::BlockDropped { .. }
            | Self::Totals(_) => None,
        }
    }
}

impl Place {
    /// The key it is, or is in.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Text { key }
            | Self::Field { key, .. }
            | Self::Range { key, .. }
            | Self::Member { key, .. }
            | Self::Hash { key }
            | Self::Stray { key, .. }
            | Self::WrongType { key, .. } => key,
        }
    }
}

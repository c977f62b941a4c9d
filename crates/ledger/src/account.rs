//! The account: what never changes about it, and how it stands.

use std::{collections::BTreeMap, sync::Arc};

use crate::{AccountId, AccountNumber, Currency, OwnerId, StreamVersion};

/// What is said once, when the account is opened, and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The name of the account.
    pub account_id: AccountId,
    /// Who owns it, if anybody was named.
    pub owner_id: Option<OwnerId>,
    /// The only currency it holds.
    pub currency: Currency,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
}

/// Whether money may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Credits and debits are accepted.
    Open,
    /// Credits are accepted, debits are not.
    Frozen,
    /// Nothing is accepted any more.
    Closed,
}

/// How an account stands after one of its events. Every row of the log carries this, so the last row is the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// Number of events so far.
    pub version: StreamVersion,
    /// Sum of all entries, in minor units.
    pub balance: i64,
    /// Set aside by open holds, in minor units; zero or more.
    pub held: i64,
    /// How far `balance - held` may go below zero, in minor units; zero or more.
    pub overdraft_limit: i64,
    /// Whether money may move.
    pub status: Status,
}

impl AccountState {
    /// Balance less held money. `i128`, because the difference of two `i64` may not fit one.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "the difference of two i64 fits an i128")]
    pub fn available(&self) -> i128 {
        i128::from(self.balance) - i128::from(self.held)
    }

    /// The promise about every account after every event: available money is not below minus the limit.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "a negated i64 fits an i128")]
    pub fn keeps_limit(&self) -> bool {
        self.available() >= -i128::from(self.overdraft_limit)
    }
}

/// An account that has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number within its shard.
    pub number: AccountNumber,
    /// What never changes.
    pub opening: Arc<Opening>,
    /// How it stands.
    pub state: AccountState,
}

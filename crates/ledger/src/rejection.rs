//! Rejections: why the rules refuse a command. A fact about the state, not a failure of the system.

use crate::{AccountId, Currency, StreamVersion};

/// Why a well-formed command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such account.
    #[error("account {account_id} does not exist")]
    AccountNotFound {
        /// The one that is missing; of a transfer, the source or the destination.
        account_id: AccountId,
    },
    /// The account is there already.
    #[error("account {account_id} exists already")]
    AccountAlreadyExists {
        /// Its id.
        account_id: AccountId,
    },
    /// The account does not stand at the version the caller saw.
    #[error("expected version {}, but the account stands at version {}", expected.get(), current.get())]
    VersionConflict {
        /// What the caller expected.
        expected: StreamVersion,
        /// What is there.
        current: StreamVersion,
    },
    /// The account is closed.
    #[error("account {account_id} is closed")]
    AccountClosed {
        /// Its id; of a transfer, either side.
        account_id: AccountId,
    },
    /// The account is frozen: debits are refused, and so is freezing it again.
    #[error("account {account_id} is frozen")]
    AccountFrozen {
        /// Its id.
        account_id: AccountId,
    },
    /// The account cannot be unfrozen because it is not frozen.
    #[error("account {account_id} is not frozen")]
    AccountNotFrozen {
        /// Its id.
        account_id: AccountId,
    },
    /// The account holds another currency.
    #[error("account {account_id} holds {held}, not {requested}")]
    CurrencyMismatch {
        /// Its id; of a transfer, either side.
        account_id: AccountId,
        /// The account's currency.
        held: Currency,
        /// The command's currency.
        requested: Currency,
    },
    /// Available money would fall below the overdraft limit.
    #[error(
        "{available} available with an overdraft limit of {overdraft_limit} do not cover {requested} (minor units)"
    )]
    InsufficientFunds {
        /// Balance less held money.
        available: i128,
        /// How far below zero it may go.
        overdraft_limit: i64,
        /// What was asked for.
        requested: i64,
    },
    /// The balance would be larger than the log has room for.
    #[error("a balance of {balance} and {requested} more (minor units) is too large")]
    BalanceOverflow {
        /// The balance that would grow; of a transfer, the destination's.
        balance: i64,
        /// What would be added.
        requested: i64,
    },
    /// An account with money on it, or in debt, cannot be closed.
    #[error("the balance is {balance} (minor units), not zero")]
    BalanceNotZero {
        /// The balance.
        balance: i64,
    },
    /// An account with held money cannot be closed.
    #[error("{held} (minor units) are held")]
    HoldsOpen {
        /// What is held.
        held: i64,
    },
    /// The new limit would already be broken.
    #[error("{available} available (minor units) is already below a limit of {requested}")]
    LimitAboveBalance {
        /// Balance less held money.
        available: i128,
        /// The limit asked for.
        requested: i64,
    },
}

impl Rejection {
    /// Whether the refusal is kept in the log, so that a retry gets it again.
    ///
    /// Not kept: what can only be said of an account that is not there, that it is there already, and a version that has
    /// passed and can never match again. These leave the request id undecided.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        match self {
            Self::AccountNotFound { .. } | Self::AccountAlreadyExists { .. } => false,
            Self::VersionConflict { expected, current } => expected > current,
            Self::AccountClosed { .. }
            | Self::AccountFrozen { .. }
            | Self::AccountNotFrozen { .. }
            | Self::CurrencyMismatch { .. }
            | Self::InsufficientFunds { .. }
            | Self::BalanceOverflow { .. }
            | Self::BalanceNotZero { .. }
            | Self::HoldsOpen { .. }
            | Self::LimitAboveBalance { .. } => true,
        }
    }
}

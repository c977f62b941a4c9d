//! Commands: requests to change something, already well formed.

use std::sync::Arc;

use crate::{AccountId, Money, Opening, RequestId, StreamVersion, Text, Timestamp};

/// One request to change one account, or to move money from it to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The same on every retry.
    pub request_id: RequestId,
    /// The account it is about; for a transfer, the source.
    pub account_id: AccountId,
    /// Refuse unless the account stands at this version.
    pub expected_version: Option<StreamVersion>,
    /// What to do.
    pub operation: Operation,
}

impl Command {
    /// The other account it touches, if it is a transfer.
    #[must_use]
    pub fn destination(&self) -> Option<&AccountId> {
        match &self.operation {
            Operation::Transfer(transfer) => Some(&transfer.destination),
            _ => None,
        }
    }
}

/// What a command wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Open the account.
    OpenAccount {
        /// What never changes about it; its id is the command's.
        opening: Arc<Opening>,
        /// How far below zero it may go.
        overdraft_limit: i64,
    },
    /// Add money from outside.
    Deposit(Movement),
    /// Take money out.
    Withdraw(Movement),
    /// Take money out to pay a bill; the counterparty is the payee.
    PayBill(Movement),
    /// Move money to another account.
    Transfer(Transfer),
    /// Set how far below zero the account may go.
    SetOverdraftLimit {
        /// The new limit in minor units; zero or more.
        overdraft_limit: i64,
    },
    /// Refuse debits from now on.
    FreezeAccount,
    /// Accept debits again.
    UnfreezeAccount,
    /// Accept nothing any more.
    CloseAccount,
}

/// Money that comes from outside or goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// How much, of what.
    pub money: Money,
    /// What it is for.
    pub reference: Option<Text>,
    /// Where it comes from or goes to.
    pub counterparty: Option<Text>,
    /// When it takes effect for its parties.
    pub effective_at: Option<Timestamp>,
}

/// Money that goes to another account of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Where it goes; not the source.
    pub destination: AccountId,
    /// How much, of what.
    pub money: Money,
    /// What it is for.
    pub reference: Option<Text>,
    /// When it takes effect for its parties.
    pub effective_at: Option<Timestamp>,
}

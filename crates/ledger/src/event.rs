//! Events: what has happened to one account.

use std::sync::Arc;

use crate::{AccountId, Amount, Opening, Operation, Rejection, Text, Timestamp};

/// One fact about one account. A transfer is two of them, one at each account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The account came to be, with a zero balance.
    AccountOpened {
        /// What never changes about it.
        opening: Arc<Opening>,
        /// How far below zero it may go.
        overdraft_limit: i64,
    },
    /// Money came in from outside.
    MoneyDeposited(Entry),
    /// Money left.
    MoneyWithdrawn(Entry),
    /// Money left to pay a bill; the counterparty is the payee.
    BillPaid(Entry),
    /// Money went to another account.
    TransferSent(TransferEntry),
    /// Money came from another account.
    TransferReceived(TransferEntry),
    /// The overdraft limit changed.
    OverdraftLimitSet {
        /// The new limit.
        overdraft_limit: i64,
    },
    /// Debits are refused from here on.
    AccountFrozen,
    /// Debits are accepted again.
    AccountUnfrozen,
    /// Nothing is accepted any more.
    AccountClosed,
    /// A command was refused by the rules. Changes nothing; kept so that a retry gets the identical refusal.
    CommandRejected(Box<RejectedCommand>),
}

/// Money that came from outside or went there, in the account's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How much.
    pub amount: Amount,
    /// What it was for.
    pub reference: Option<Text>,
    /// The other side.
    pub counterparty: Option<Text>,
    /// When it takes effect for its parties.
    pub effective_at: Option<Timestamp>,
}

/// Money that went to or came from another account of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferEntry {
    /// How much.
    pub amount: Amount,
    /// What it was for.
    pub reference: Option<Text>,
    /// The other account.
    pub peer: AccountId,
    /// When it takes effect for its parties.
    pub effective_at: Option<Timestamp>,
}

/// What was asked and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCommand {
    /// What was asked.
    pub operation: Operation,
    /// The version that was expected, if any.
    pub expected_version: Option<crate::StreamVersion>,
    /// Why not.
    pub rejection: Rejection,
}

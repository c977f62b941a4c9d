//! The rules of the ledger: [`decide()`] turns a command and the accounts it touches into events or a rejection,
//! [`evolve()`] turns a state and an event into the next state. Nothing else decides about money.
//!
//! Deliberately absent: clocks, databases, `async`, wire formats and any other I/O. The same state and command always
//! get the same answer, so that a second instance, a retry or an auditor comes to the same result.
//!
//! Reading order: [`money`], [`id`], [`account`], [`command`], [`event`], [`rejection`], [`decide`](mod@decide), [`evolve`](mod@evolve);
//! then [`token`], what a write gives so that a read can ask for it.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod account;
pub mod command;
pub mod decide;
pub mod event;
pub mod evolve;
pub mod id;
pub mod money;
pub mod rejection;
pub mod text;
pub mod time;
pub mod token;

pub use account::{Account, AccountState, Opening, Status};
pub use command::{Command, Movement, Operation, Transfer};
pub use decide::{Accounts, Decision, could_follow, decide};
pub use event::Event;
pub use evolve::evolve;
pub use id::{
    AccountId, AccountNumber, LogId, OwnerId, Position, RequestId, Shard, ShardCount,
    StreamVersion, TransactionId,
};
pub use money::{Amount, Currency, Money};
pub use rejection::Rejection;
pub use text::Text;
pub use time::Timestamp;
pub use token::ConsistencyToken;

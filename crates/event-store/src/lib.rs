//! The log in Postgres: its schema, the one way to append to it, the ways to read it, and the bell that wakes readers.
//!
//! Deliberately absent: deciding anything. Rows come in as events with the state after them and go out the same way;
//! whether they may happen is the ledger's business, and in which order the write-service's.
//!
//! Reading order: [`row`] (an event as columns) and [`chain`] (what protects it); [`append`], [`writer`] (what the
//! write-service needs), [`reader`] (what everybody else needs), [`log_copy`] (all of it, fast), [`doorbell`], [`migrate`](mod@migrate);
//! [`forensics`] (looking at a log that does not add up).

pub mod append;
pub mod chain;
pub mod connect;
mod decode;
pub mod details;
pub mod doorbell;
pub mod error;
pub mod fence;
pub mod forensics;
pub mod log_copy;
pub mod migrate;
pub mod reader;
pub mod row;
pub mod safety;
mod sql_types;
mod tls;
mod verify;
pub mod writer;

pub use append::{AppendError, Appended, Appender, Attempt, AttemptMark, ShardPart};
pub use chain::{ChainLink, Head, LogIdentity};
pub use details::BatchExtent;
pub use doorbell::{Bell, Doorbell};
pub use error::Error;
pub use fence::Control;
pub use forensics::{Claim, Crowd, Misfit, Stray};
pub use log_copy::LogCopy;
pub use migrate::{migrate, start_new_incarnation};
pub use reader::{AccountRecord, LogReader, OpenedAccount, RecordedBatch};
pub use row::{EventData, EventRow, RecordedEvent};
pub use writer::{LoadedAccount, StoredOutcome, WriterReads};

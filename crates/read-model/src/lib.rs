//! The read model in Redis: every key, every packed format, every script. [`Writer`] is what projectors use,
//! [`Reader`] what queries use; nobody else spells a key.
//!
//! Deliberately absent: the log. What events mean is the projector's business; here are places, values, and the
//! promise that a checkpoint never claims more than lies beside it.
//!
//! Reading order: [`key`] (what is stored where), [`value`](mod@value) (in which form), `scripts/*.lua` (every
//! write, and reads that need several keys), [`writer`], [`reader`].

pub mod acl;
mod change;
mod codec;
mod connection;
mod error;
pub mod key;
mod marker;
mod policy;
pub mod reader;
mod script;
#[cfg(test)]
mod test_values;
pub mod value;
mod view;
pub mod writer;

pub use acl::{AclUser, acl_users};
pub use change::{Change, Place};
pub use codec::Malformed;
pub use connection::{DEFAULT_KEY_PREFIX, StoreConfig};
pub use error::Error;
pub use key::{GenerationKeys, Keyspace, ViewKeys};
pub use marker::{Marker, Snapshot};
pub use reader::{
    CheckpointFeed, FoundTransaction, GenerationStatus, Name, Observed, Published, Reader,
    ScanCursor, ScanPage, ScannedPair, StatementPage, StoredFields, StoredGeneration, ViewStatus,
};
pub use value::{
    AccountView, Checkpoint, CurrencyTotals, EntryKind, Filling, HeadStamp, LatestEntry, LogRecord,
    PackedEntry, ShardTotals, StatementEntry, StatementHeader, dropped_blocks, index_of,
    indexed_positions, oldest_kept,
};
pub use view::{Generation, View};
pub use writer::{Chunk, Page, RebuildRequest, Repair, Replacement, SwapOutcome, Writer};

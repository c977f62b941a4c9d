//! Packed values: what a key holds. Each begins with a format byte; a decoder knows exactly one format, and a changed
//! format is a new [version](crate::View::version) of the view.

mod account;
mod checkpoint;
mod entry;
mod filling;
mod header;
mod marks;
#[cfg(test)]
mod rubbish;
mod totals;
mod transaction_index;

pub use account::AccountView;
pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{LOG_BYTES, POSITION_OFFSET};
pub(crate) use entry::{BLOCK_ENTRIES, PLACEHOLDER, StoredEntry, block_of};
pub use entry::{EntryKind, PackedEntry, StatementEntry, dropped_blocks, oldest_kept};
pub use filling::Filling;
pub use header::{LatestEntry, StatementHeader};
pub use marks::{HeadStamp, LogRecord};
pub use totals::{CurrencyTotals, ShardTotals};
pub(crate) use transaction_index::{
    IndexedTransaction, NUMBERS_PER_HASH, RECORD_BYTES, numbers_of, record_start,
};
pub use transaction_index::{index_of, indexed_positions};

//! Transactions by their id.

use ledger::{AccountId, Currency, StreamVersion, TransactionId};

use super::{
    Bytes, Marks, Reader,
    account::{inconsistent, not_ahead},
    statement::header,
};
use crate::{
    Error, Snapshot, StatementEntry, View, script,
    value::{BLOCK_ENTRIES, IndexedTransaction, index_of},
};

/// A transaction that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundTransaction {
    /// Its entry; of a transfer, the source's side.
    Entry {
        /// The account whose statement it is on.
        account_id: AccountId,
        /// The account's currency.
        currency: Currency,
        /// The entry.
        entry: StatementEntry,
    },
    /// It has happened, but its account's statement is no longer kept that far back.
    NotKept {
        /// The account whose statement it was on.
        account_id: AccountId,
        /// Its version there.
        version: StreamVersion,
        /// The oldest version that is kept.
        oldest: StreamVersion,
    },
}

impl Reader {
    /// One transaction; of a transfer, the source's side. `None` when the log up to the marker's position has
    /// no such transaction.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn transaction(
        &self,
        id: TransactionId,
    ) -> Result<Snapshot<Option<FoundTransaction>>, Error> {
        type Reply = (Bytes, Bytes, Bytes, i64, i64, Bytes, Bytes, Bytes);
        let keys = self.keys.view(View::Transactions, id.shard);
        let (generation, checkpoint, head, seconds, microseconds, indexed, found_header, entry): Reply =
            script::TRANSACTION
                .on(&[keys.visible(), self.keys.head(id.shard)])
                .arg(keys.base())
                .arg(index_of(id.position))
                .arg(id.position.get())
                .arg(BLOCK_ENTRIES)
                .run("read a transaction", &self.connection)
                .await?;
        let marks = Marks { generation, checkpoint, head, time: (seconds, microseconds) };
        let marker = marks.marker(View::Transactions, id.shard)?;
        let Some(indexed) = indexed else { return Ok(Snapshot { marker, value: None }) };
        let unreadable = |malformed| Error::malformed(marker.view, marker.shard, &malformed);
        let indexed = IndexedTransaction::decode(&indexed).map_err(unreadable)?;
        let IndexedTransaction { account_id, version } = indexed;
        let lost =
            || inconsistent(&marker, format!("transaction {id} of account {account_id} is lost"));
        let header = header(&marker, &account_id, found_header.as_deref())?.ok_or_else(lost)?;
        if version < header.oldest {
            let oldest = header.oldest;
            let value = Some(FoundTransaction::NotKept { account_id, version, oldest });
            return Ok(Snapshot { marker, value });
        }
        let entry = entry.ok_or_else(lost)?;
        let entry = StatementEntry::decode(id.shard, version, &entry).map_err(unreadable)?;
        not_ahead(&marker, &account_id, entry.position)?;
        if entry.transaction_id != id {
            return Err(lost());
        }
        let currency = header.currency;
        let value = Some(FoundTransaction::Entry { account_id, currency, entry });
        Ok(Snapshot { marker, value })
    }
}

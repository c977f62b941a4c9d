//! Transactions by their id.

use ledger::{AccountId, Currency, StreamVersion, TransactionId};

use super::{
    Bytes, Marks, Reader,
    account::{inconsistent, not_ahead},
    statement::header,
};
use crate::{
    Error, Snapshot, StatementEntry, View, script,
    value::{
        BLOCK_ENTRIES, IndexedTransaction, NUMBERS_PER_HASH, RECORD_BYTES, index_of, record_start,
    },
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
        type Reply = (Bytes, Bytes, Bytes, i64, i64, Vec<u8>, Option<String>, Bytes, Bytes);
        let keys = self.keys.view(View::Transactions, id.shard);
        let reply: Reply = script::TRANSACTION
            .on(&[keys.visible(), self.keys.head(id.shard)])
            .arg(keys.base())
            .arg(index_of(id.position))
            .arg(record_start(id.position))
            .arg(RECORD_BYTES)
            .arg(NUMBERS_PER_HASH)
            .arg(BLOCK_ENTRIES)
            .run("read a transaction", &self.connection)
            .await?;
        let (generation, checkpoint, head, seconds, microseconds, record, ..) = reply;
        let (.., account_id, found_header, entry) = reply;
        let marks = Marks { generation, checkpoint, head, time: (seconds, microseconds) };
        let marker = marks.marker(View::Transactions, id.shard)?;
        let unreadable = |malformed| Error::malformed(marker.view, marker.shard, &malformed);
        let indexed = IndexedTransaction::decode(&record).map_err(unreadable)?;
        let Some(IndexedTransaction { account, version }) = indexed else {
            return Ok(Snapshot { marker, value: None });
        };
        let lost = || {
            let number = account.get();
            inconsistent(&marker, format!("transaction {id} of account number {number} is lost"))
        };
        let account_id = account_id.and_then(|id| AccountId::new(&id).ok()).ok_or_else(lost)?;
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

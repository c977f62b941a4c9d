//! A log that grows a lot in a moment, as if another instance had long been at work.

use event_store::{Appender, Attempt, EventData, ShardPart, WriterReads};
use ledger::{AccountId, Amount, Event, RequestId, event::Entry};
use uuid::Uuid;

use super::Log;

/// Deposits in one batch.
const BATCH: usize = 1500;

impl Log {
    /// Adds so many batches of deposits of 1 each, and says how many deposits that was.
    pub(crate) async fn grow(&self, account: &str, batches: usize) -> i64 {
        let id = AccountId::new(account).unwrap();
        let shard = id.shard(self.identity.shards);
        let reads = WriterReads::connect(&self.url, "test-growth").await.unwrap();
        let (head, loaded) = reads.load(shard, &[id]).await.unwrap();
        let (mut head, mut state) = (head.unwrap(), loaded[0].state);
        let appender = Appender::connect(&self.url, "counterfoil-append/growth").await.unwrap();
        let amount = Amount::new(1).unwrap();
        for _ in 0..batches {
            let rows = (0..BATCH).map(|_| {
                state.version = state.version.next();
                state.balance += 1;
                let entry =
                    Entry { amount, reference: None, counterparty: None, effective_at: None };
                EventData {
                    account: loaded[0].number,
                    event: Event::MoneyDeposited(entry),
                    state,
                    request_id: RequestId::new(Uuid::now_v7()),
                    peer: None,
                    actor: None,
                    trace_context: None,
                }
                .into_row()
            });
            let accounts = head.accounts;
            let part = ShardPart { shard, expected: head, accounts, rows: rows.collect() };
            let attempt = Attempt::new(self.identity.log_id, vec![part], None);
            head = appender.append(&attempt).await.unwrap()[0].head;
        }
        i64::try_from(batches * BATCH).unwrap()
    }
}

//! Which log the read model is of now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::LogId;
use read_model::{LogRecord, Reader};

use crate::error::StoreFault;
use crate::store::within;

/// The log as last seen. A new incarnation of a log takes effect here, not with the first view that is built from it: what
/// an abandoned log said is not told any more. Nor does an older incarnation come back with an older copy of Redis.
pub(crate) struct CurrentLog {
    reader: Reader,
    read_limit: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What counts now; `None` while Redis has no record of any log.
    current: Option<LogRecord>,
    /// The last one there was.
    last: Option<LogRecord>,
}

impl Seen {
    fn see(&mut self, record: Option<LogRecord>) -> Option<LogRecord> {
        let older = |record: &LogRecord| {
            self.last.is_some_and(|last| {
                last.first_log_id == record.first_log_id && last.incarnation > record.incarnation
            })
        };
        self.current = if record.as_ref().is_some_and(older) { self.last } else { record };
        self.last = self.current.or(self.last);
        self.current
    }
}

impl CurrentLog {
    pub(crate) fn new(reader: Reader, read_limit: Duration) -> Self {
        Self { reader, read_limit, seen: Mutex::default() }
    }

    /// The log as last seen, or as it is now if none was seen yet.
    ///
    /// # Errors
    /// [`StoreFault`] when it must be asked for and Redis does not answer.
    pub(crate) async fn get(&self) -> Result<Option<LogRecord>, StoreFault> {
        let current = self.lock().current;
        match current {
            Some(log) => Ok(Some(log)),
            None => Box::pin(self.refresh()).await,
        }
    }

    /// The log as last seen, or as it is now if what was last seen is another than expected.
    ///
    /// # Errors
    /// [`StoreFault`] when it must be asked for and Redis does not answer.
    pub(crate) async fn expect(&self, log_id: LogId) -> Result<Option<LogRecord>, StoreFault> {
        let current = self.lock().current;
        match current {
            Some(log) if log.log_id == log_id => Ok(Some(log)),
            _ => Box::pin(self.refresh()).await,
        }
    }

    /// The log as it is now; `None` when no projector has ever been here, or everything was lost.
    ///
    /// # Errors
    /// [`StoreFault`] when Redis does not answer.
    pub(crate) async fn refresh(&self) -> Result<Option<LogRecord>, StoreFault> {
        let record = within(self.read_limit, self.reader.log()).await?;
        Ok(self.lock().see(record))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while holding it; and what it holds is whole at any moment.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ledger::ShardCount;

    use super::*;

    fn record(log: u128, first: u128, incarnation: i32) -> Option<LogRecord> {
        let [log_id, first_log_id] = [log, first].map(|id| LogId(uuid::Uuid::from_u128(id)));
        let (shards, renewed_at_ms) = (ShardCount::ONE, 0);
        Some(LogRecord { log_id, first_log_id, incarnation, shards, renewed_at_ms })
    }

    #[test]
    fn an_abandoned_incarnation_does_not_come_back() {
        let mut seen = Seen::default();
        assert_eq!(seen.see(record(1, 1, 1)), record(1, 1, 1));
        assert_eq!(seen.see(record(2, 1, 2)), record(2, 1, 2));
        assert_eq!(seen.see(record(1, 1, 1)), record(2, 1, 2));
        assert_eq!(seen.see(None), None);
        assert_eq!(seen.see(record(1, 1, 1)), record(2, 1, 2));
    }

    #[test]
    fn another_ledger_may_take_the_redis_over() {
        let mut seen = Seen::default();
        seen.see(record(2, 1, 2));
        assert_eq!(seen.see(record(7, 7, 1)), record(7, 7, 1));
    }
}

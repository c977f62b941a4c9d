//! The log as the projector reads it: connections that are made again when they are lost, and openings that are
//! remembered.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use event_store::{Error, LogReader, OpenedAccount, RecordedEvent};
use ledger::{AccountNumber, Event, Shard};
use service_kit::config::DatabaseUrl;

/// One connection at a time, made again when it is lost. Statements on it are pipelined, so all shards share it.
pub(crate) struct Log {
    database_url: DatabaseUrl,
    application_name: &'static str,
    current: tokio::sync::Mutex<Option<Arc<LogReader>>>,
}

impl Log {
    pub(crate) fn new(database_url: DatabaseUrl, application_name: &'static str) -> Self {
        Self { database_url, application_name, current: tokio::sync::Mutex::default() }
    }

    /// Gives the connection up after a failure: it may look open and never answer again.
    pub(crate) async fn give_up(&self) {
        *self.current.lock().await = None;
    }

    /// The connection; a new one if the last was lost or given up.
    pub(crate) async fn reader(&self) -> Result<Arc<LogReader>, Error> {
        let mut current = self.current.lock().await;
        if let Some(reader) = &*current
            && !reader.is_closed()
        {
            return Ok(reader.clone());
        }
        *current = None;
        let reader = LogReader::connect(self.database_url.expose(), self.application_name).await?;
        let reader = Arc::new(reader);
        *current = Some(reader.clone());
        Ok(reader)
    }
}

/// Something per account. Accounts are counted from 1, so their numbers need no protection from a bad choice of keys.
pub(crate) type ByAccount<T> = HashMap<AccountNumber, T, BuildHasherDefault<NumberHasher>>;

/// Spreads small numbers over all bits.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What was said when accounts were opened. Openings never change, so they may be remembered for as long as the
/// log is the same. How many is bounded: those used last are kept, and between as many and twice as many as asked for.
pub(crate) struct Openings {
    shard: Shard,
    kept_min: usize,
    recent: ByAccount<OpenedAccount>,
    older: ByAccount<OpenedAccount>,
}

impl Openings {
    pub(crate) fn new(shard: Shard, openings_max: u32) -> Self {
        let kept_min = usize::try_from(openings_max).unwrap_or(usize::MAX);
        Self { shard, kept_min, recent: ByAccount::default(), older: ByAccount::default() }
    }

    /// The openings of all accounts that some events touch and of some others, read from the log where they are not known.
    pub(crate) async fn of_events(
        &mut self,
        log: impl Future<Output = Result<Arc<LogReader>, Error>>,
        events: &[RecordedEvent],
    ) -> Result<&ByAccount<OpenedAccount>, Error> {
        let mut missing = self.recall(events);
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            self.recent.extend(log.await?.openings(self.shard, &missing).await?);
        }
        Ok(&self.recent)
    }

    /// Makes what is remembered of the accounts recent, and says which are not remembered.
    fn recall(&mut self, events: &[RecordedEvent]) -> Vec<AccountNumber> {
        if self.recent.len() > self.kept_min {
            self.older = std::mem::take(&mut self.recent);
        }
        let mut missing = Vec::new();
        for event in events {
            if self.recent.contains_key(&event.account) {
                continue;
            }
            let opened = match &event.event {
                Event::AccountOpened { opening, .. } => {
                    let (opening, opened_at) = (opening.clone(), event.recorded_at);
                    Some(OpenedAccount { opening, opened_at })
                }
                _ => self.older.remove(&event.account),
            };
            match opened {
                Some(opened) => _ = self.recent.insert(event.account, opened),
                None => missing.push(event.account),
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::given;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut log = given::Log::new();
        for account in 1..=1000 {
            log.open(account);
        }
        let opened = log.events.clone();
        log.events.clear();
        for account in [1, 2, 1000] {
            log.happens(account, given::deposit(1));
        }
        let mut openings = Openings::new(Shard::ZERO, 20);
        for event in &opened {
            assert_eq!(openings.recall(std::slice::from_ref(event)), []);
            assert_eq!(openings.recall(&log.events[..1]), [], "used all the time");
            assert!(openings.recent.len() + openings.older.len() <= 42);
        }
        assert_eq!(openings.recall(&log.events), [log.events[1].account]);
    }
}

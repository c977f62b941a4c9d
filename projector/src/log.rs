//! The log as the projector reads it: connections that are made again when they are lost, and openings that are
//! remembered.

use std::{collections::HashMap, sync::Arc};

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

/// What was said when accounts were opened. Openings never change, so they may be remembered for as long as the
/// log is the same; how many is bounded, and those not used for longest are forgotten, half of them at a time.
pub(crate) struct Openings {
    shard: Shard,
    half: usize,
    recent: HashMap<AccountNumber, OpenedAccount>,
    older: HashMap<AccountNumber, OpenedAccount>,
}

impl Openings {
    pub(crate) fn new(shard: Shard, openings_max: u32) -> Self {
        let half = usize::try_from(openings_max / 2).unwrap_or(usize::MAX).max(1);
        Self { shard, half, recent: HashMap::new(), older: HashMap::new() }
    }

    /// The openings of all accounts that some events touch, read from the log where they are not known.
    pub(crate) async fn of_events(
        &mut self,
        log: &LogReader,
        events: &[RecordedEvent],
    ) -> Result<HashMap<AccountNumber, OpenedAccount>, Error> {
        let mut found = HashMap::with_capacity(events.len());
        for event in events {
            if let Event::AccountOpened { opening, .. } = &event.event {
                let (opening, opened_at) = (opening.clone(), event.recorded_at);
                let opened = OpenedAccount { opening, opened_at };
                found.insert(event.account, opened);
            }
        }
        let mut missing = Vec::new();
        for event in events {
            if found.contains_key(&event.account) {
                continue;
            }
            match self.recall(event.account) {
                Some(opened) => _ = found.insert(event.account, opened),
                None => missing.push(event.account),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable_by_key(|number| number.get());
            missing.dedup();
            found.extend(log.openings(self.shard, &missing).await?);
        }
        found.iter().for_each(|(number, opened)| self.remember(*number, opened));
        Ok(found)
    }

    fn recall(&mut self, number: AccountNumber) -> Option<OpenedAccount> {
        self.recent.get(&number).or_else(|| self.older.get(&number)).cloned()
    }

    fn remember(&mut self, number: AccountNumber, opened: &OpenedAccount) {
        if self.recent.contains_key(&number) {
            return;
        }
        if self.recent.len() >= self.half {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(number, opened.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::given;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut log = given::Log::new();
        log.open(1);
        let opened = log.openings.values().next().unwrap();
        let number = |number| AccountNumber::new(number).unwrap();
        let mut openings = Openings::new(Shard::ZERO, 20);
        for account in 1..=1000 {
            openings.remember(number(account), opened);
            let used = openings.recall(number(1)).unwrap();
            openings.remember(number(1), &used);
            assert!(openings.recent.len() + openings.older.len() <= 20);
        }
        assert!(openings.recall(number(1)).is_some());
        assert!(openings.recall(number(2)).is_none());
        assert!(openings.recall(number(1000)).is_some());
    }
}

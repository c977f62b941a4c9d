//! What was done, and whether it did anything.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::{history::Moment, oracles::Recovery};

/// How often a fault was injected, and how often its effect was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) injected: u64,
    pub(crate) reached: u64,
}

/// Everything that was done in a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) counts: BTreeMap<&'static str, Count>,
    pub(crate) recoveries: Vec<Recovery>,
    /// Accounts whose value in Redis was edited, and when readers may have seen that.
    pub(crate) tampered: Vec<(String, Moment, Moment)>,
    /// What was seen to be wrong by the supervisor itself.
    pub(crate) accidents: Vec<String>,
}

impl Tally {
    pub(crate) fn count(&self, fault: Fault, reached: bool) {
        let mut inner = self.lock();
        let count = inner.counts.entry(fault.name()).or_default();
        count.injected += 1;
        count.reached += u64::from(reached);
    }

    pub(crate) fn recovered(&self, recovery: Recovery) {
        self.lock().recoveries.push(recovery);
    }

    pub(crate) fn tampered(&self, account: &str, from: Moment, until: Moment) {
        self.lock().tampered.push((account.to_owned(), from, until));
    }

    pub(crate) fn accident(&self, what: String) {
        self.lock().accidents.push(what);
    }

    pub(crate) fn take(&self) -> Inner {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What was looked at, and what was found to be wrong.

use std::fmt;

use ledger::Shard;
use serde_json::{Value, json};

/// So many tell enough; the rest is counted.
const FINDINGS_KEPT_MAX: usize = 1000;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) shard: Shard,
    /// The row, batch, account or key.
    pub(super) place: String,
    pub(super) what: String,
}

/// Everything together.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    count: usize,
    /// How much of what was looked at, such as `events of the log`.
    looked_at: Vec<(String, u64)>,
}

impl Findings {
    pub(super) fn add(&mut self, shard: Shard, place: impl Into<String>, what: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < FINDINGS_KEPT_MAX {
            self.kept.push(Finding { shard, place: place.into(), what: what.into() });
        }
    }

    /// Counts what was looked at, so that "nothing found" can be told from "nothing seen".
    pub(super) fn looked_at(&mut self, what: &str, count: u64) {
        match self.looked_at.iter_mut().find(|(name, _)| name == what) {
            Some((_, total)) => *total += count,
            None => self.looked_at.push((what.to_owned(), count)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn json(&self) -> Value {
        let findings: Vec<Value> = self
            .kept
            .iter()
            .map(|one| json!({ "shard": one.shard.get(), "place": one.place, "what": one.what }))
            .collect();
        let looked_at: serde_json::Map<String, Value> =
            self.looked_at.iter().map(|(what, count)| (what.clone(), json!(count))).collect();
        json!({ "agrees": self.is_empty(), "count": self.count, "findings": findings, "lookedAt": looked_at })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { shard, place, what } in &self.kept {
            writeln!(f, "shard {shard}, {place}: {what}")?;
        }
        if self.count > self.kept.len() {
            writeln!(f, "and {} more", self.count - self.kept.len())?;
        }
        writeln!(f, "looked at:")?;
        for (what, count) in &self.looked_at {
            writeln!(f, "  {count:>12} {what}")?;
        }
        match self.count {
            0 => writeln!(f, "everything agrees"),
            1 => writeln!(f, "1 thing is wrong"),
            count => writeln!(f, "{count} things are wrong"),
        }
    }
}

//! What was looked at, and what was found to be wrong.

use std::fmt;

use ledger::Shard;
use serde_json::{Value, json};

/// So many tell enough; the rest is counted.
const FINDINGS_KEPT_MAX: usize = 1000;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// `None`: it concerns all of the log.
    pub(super) shard: Option<Shard>,
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
    /// What else whoever reads this should know.
    notes: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, shard: Shard, place: impl Into<String>, what: impl Into<String>) {
        self.keep(Finding { shard: Some(shard), place: place.into(), what: what.into() });
    }

    /// Of the log as a whole.
    pub(super) fn add_overall(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.keep(Finding { shard: None, place: place.into(), what: what.into() });
    }

    fn keep(&mut self, finding: Finding) {
        self.count += 1;
        if self.kept.len() < FINDINGS_KEPT_MAX {
            self.kept.push(finding);
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
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
            .map(|one| {
                let shard = one.shard.map(Shard::get);
                json!({ "shard": shard, "place": one.place, "what": one.what })
            })
            .collect();
        let looked_at: serde_json::Map<String, Value> =
            self.looked_at.iter().map(|(what, count)| (what.clone(), json!(count))).collect();
        json!({
            "agrees": self.is_empty(),
            "count": self.count,
            "findings": findings,
            "lookedAt": looked_at,
            "notes": self.notes,
        })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { shard, place, what } in &self.kept {
            match shard {
                Some(shard) => writeln!(f, "shard {shard}, {place}: {what}")?,
                None => writeln!(f, "{place}: {what}")?,
            }
        }
        if self.count > self.kept.len() {
            writeln!(f, "and {} more", self.count - self.kept.len())?;
        }
        writeln!(f, "looked at:")?;
        for (what, count) in &self.looked_at {
            writeln!(f, "  {count:>12} {what}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        match self.count {
            0 => writeln!(f, "everything agrees"),
            1 => writeln!(f, "1 thing is wrong"),
            count => writeln!(f, "{count} things are wrong"),
        }
    }
}

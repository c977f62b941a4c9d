//! The judges: each takes what clients wrote down, the log, and what Redis holds, and says what contradicts a promise.
//!
//! Each says also how much it judged, because "nothing found" of nothing looked at proves nothing.

mod at_most_once;
mod atomic;
mod convergence;
mod definite;
mod hygiene;
mod known;
mod limits;
mod liveness;
mod log_form;
mod no_loss;
mod serial;
mod sums;
mod truthful_reads;

use std::{collections::BTreeMap, time::Duration};

pub(crate) use convergence::Stored;
pub(crate) use hygiene::NO_DETAILS;
pub(crate) use liveness::{CONNECTIONS, Footprint, Recovery};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    history::{Call, Moment, Read},
    log::Log,
    model::{Replay, Row},
    redis_dump,
};

/// How often Redis is looked at until it equals the log.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Findings of one oracle that are told; all are counted.
const TOLD_MAX: usize = 20;

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Oracle {
    NoLoss,
    AtMostOnce,
    Definite,
    Atomic,
    Limits,
    LogForm,
    Serial,
    Convergence,
    TruthfulReads,
    Liveness,
    Hygiene,
}

impl Oracle {
    pub(crate) const ALL: [Self; 11] = [
        Self::NoLoss,
        Self::AtMostOnce,
        Self::Definite,
        Self::Atomic,
        Self::Limits,
        Self::LogForm,
        Self::Serial,
        Self::Convergence,
        Self::TruthfulReads,
        Self::Liveness,
        Self::Hygiene,
    ];

    /// The promise in a few words.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::NoLoss => "O1 no loss",
            Self::AtMostOnce => "O2 at most once",
            Self::Definite => "O3 definite is definite",
            Self::Atomic => "O4 atomic",
            Self::Limits => "O5 limits and sums",
            Self::LogForm => "O6 form of the log",
            Self::Serial => "O7 strict serialisability",
            Self::Convergence => "O8 convergence",
            Self::TruthfulReads => "O9 truthful reads",
            Self::Liveness => "O10 liveness",
            Self::Hygiene => "O11 error hygiene",
        }
    }
}

/// What one oracle has to say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// How many things were judged.
    pub(crate) judged: u64,
    /// How many of them were wrong.
    pub(crate) wrong: u64,
    /// The first of them, with what is needed to find them again.
    pub(crate) findings: Vec<String>,
}

impl Verdict {
    /// Judges one thing; `finding` is made only if it is wrong.
    pub(crate) fn judge(&mut self, right: bool, finding: impl FnOnce() -> String) {
        self.judged += 1;
        if !right {
            self.wrong += 1;
            if self.findings.len() < TOLD_MAX {
                self.findings.push(finding());
            }
        }
    }

    /// Adds what another run found.
    pub(crate) fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.wrong += other.wrong;
        let room = TOLD_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.iter().take(room).cloned());
    }
}

/// Everything there is to judge.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) log: Log,
    pub(crate) replay: Replay,
    pub(crate) calls: Vec<Call>,
    pub(crate) reads: Vec<Read>,
    /// What Redis holds in the end; `None` if it could not be read.
    pub(crate) redis: Option<BTreeMap<String, Stored>>,
    /// Accounts whose value in Redis was edited by hand, and during which time readers may have seen that.
    pub(crate) tampered: Vec<(String, Moment, Moment)>,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) footprints: Vec<Footprint>,
    /// What processes should not have said or done: panics, and ends by themselves.
    pub(crate) accidents: Vec<String>,
    /// Clocks of the services may have been wrong: times that they tell prove nothing.
    pub(crate) staleness_slack: Duration,
}

impl Evidence {
    pub(crate) fn rows(&self) -> &[Row] {
        &self.log.rows
    }
}

/// Asks all of them.
fn judge(evidence: &Evidence) -> BTreeMap<Oracle, Verdict> {
    let ask = |oracle| match oracle {
        Oracle::NoLoss => no_loss::judge(evidence),
        Oracle::AtMostOnce => at_most_once::judge(evidence),
        Oracle::Definite => definite::judge(evidence),
        Oracle::Atomic => atomic::judge(evidence),
        Oracle::Limits => limits::judge(evidence),
        Oracle::LogForm => log_form::judge(evidence),
        Oracle::Serial => serial::judge(evidence),
        Oracle::Convergence => convergence::judge(evidence),
        Oracle::TruthfulReads => truthful_reads::judge(evidence),
        Oracle::Liveness => liveness::judge(evidence),
        Oracle::Hygiene => hygiene::judge(evidence),
    };
    Oracle::ALL.into_iter().map(|oracle| (oracle, ask(oracle))).collect()
}

/// Judges everything; Redis again and again until it equals the log or the time for that is over.
pub(crate) async fn judge_when_converged(
    redis_url: &str,
    evidence: &mut Evidence,
    within: Duration,
) -> BTreeMap<Oracle, Verdict> {
    let begun = Instant::now();
    loop {
        evidence.redis = redis_dump::dump(redis_url).await.ok();
        if convergence::judge(evidence).wrong == 0 || begun.elapsed() > within {
            return judge(evidence);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
pub(crate) mod given {
    //! Evidence for tests.

    use std::collections::HashMap;

    use super::*;
    use crate::{history::given::LOG, model::given_log::GivenLog};

    /// A log and what clients say about it.
    pub(crate) fn evidence(log: &GivenLog, calls: Vec<Call>) -> Evidence {
        Evidence {
            replay: Replay::of(&log.0),
            log: Log {
                log_id: LOG,
                shards: 1,
                events: Vec::new(),
                rows: log.0.clone(),
                ends: HashMap::new(),
                broken: None,
            },
            calls,
            reads: Vec::new(),
            redis: None,
            tampered: Vec::new(),
            recoveries: Vec::new(),
            footprints: Vec::new(),
            accidents: Vec::new(),
            staleness_slack: Duration::from_millis(20),
        }
    }

    /// That something was judged and nothing was wrong.
    pub(crate) fn is_content(verdict: &Verdict) -> bool {
        verdict.judged > 0 && verdict.wrong == 0
    }
}

//! Comparing what Redis holds with the log: the sweep does it all the time, `verify` at once, and a new
//! generation is vetted by it.
//!
//! Every comparison is exact, also under load: values are read together with the checkpoint they belong to, and
//! then the log is asked how things stood at exactly that position. The log never forgets, so there is no race
//! to lose.

mod account;
mod replay;
mod statement;
mod stray;

pub(crate) use account::check_accounts;
pub(crate) use replay::{IndexedCounts, Replay};
pub(crate) use statement::check_statements;
pub(crate) use stray::check_strays;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use event_store::{LogIdentity, LogReader};
use ledger::{AccountNumber, Shard};
use read_model::{
    Change, Checkpoint, Generation, Observed, Place, Reader, Repair, Replacement, ScanCursor,
    StoredGeneration, View,
};

use crate::error::Stop;

/// Accounts per comparison: small enough not to hold up Redis, large enough to be worth the round trips.
pub(crate) const CHUNK_ACCOUNTS: i32 = 100;

/// How many mismatches are kept to be named; all are counted.
const NAMED_MAX: usize = 100;

/// A standby that lags behind what Redis includes is asked again after this, and not compared with after so long.
const LAG_LOOK: Duration = Duration::from_millis(20);
const LAG_LOOKS_MAX: u32 = 50;

/// A generation to be compared.
pub(crate) struct Target {
    pub(crate) view: View,
    pub(crate) shard: Shard,
    pub(crate) generation: Generation,
    pub(crate) stored: StoredGeneration,
    /// How far the log that it is compared with is known to reach.
    reached: AtomicI64,
}

/// A place that does not hold what the log says it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The generation.
    pub generation: Generation,
    /// What the generation included when the place was read.
    pub seen: Checkpoint,
    /// Where.
    pub place: Place,
    /// What was found there; `None` is nothing.
    pub wrong: Option<Vec<u8>>,
    /// What should be there; `None` is nothing.
    pub right: Option<Vec<u8>>,
}

/// What comparing came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Values compared.
    pub checked: u64,
    /// How much was read for that, in rows of the log and values of Redis: what comparing has cost.
    pub read: u64,
    /// How many were wrong.
    pub count: u64,
    /// The first of the wrong ones.
    pub mismatches: Vec<Mismatch>,
}

impl Findings {
    fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.read += other.read;
        self.count += other.count;
        let room = NAMED_MAX.saturating_sub(self.mismatches.len());
        self.mismatches.extend(other.mismatches.into_iter().take(room));
    }
}

impl Mismatch {
    /// What would put it right.
    pub(crate) fn repair(&self) -> Repair {
        let replacement = match &self.place {
            Place::Member { .. } => Replacement::Member { present: self.right.is_some() },
            Place::Stray { .. } | Place::WrongType { .. } => Replacement::Removed,
            Place::Text { .. } | Place::Field { .. } | Place::Range { .. } | Place::Hash { .. } => {
                Replacement::Value { wrong: self.wrong.clone(), right: self.right.clone() }
            }
        };
        Repair {
            view: self.view,
            shard: self.shard,
            generation: self.generation,
            seen: self.seen,
            place: self.place.clone(),
            replacement,
        }
    }
}

impl Target {
    pub(crate) fn new(reader: &Reader, view: View, shard: Shard, generation: Generation) -> Self {
        let stored = reader.generation(view, shard, generation);
        Self { view, shard, generation, stored, reached: AtomicI64::new(0) }
    }

    /// Waits until the log reaches as far as what was seen: what a standby says before that is older, and would be taken for what
    /// is right. Every question that what was seen is compared by comes after this, to the same server.
    async fn await_log(&self, log: &LogReader, seen: &Checkpoint) -> Result<(), Stop> {
        for _ in 0..LAG_LOOKS_MAX {
            if seen.position.get() <= self.reached.load(Ordering::Relaxed) {
                return Ok(());
            }
            let head = log.head(self.shard).await?.map_or(0, |head| head.link.position.get());
            self.reached.fetch_max(head, Ordering::Relaxed);
            if head >= seen.position.get() || !log.is_standby().await? {
                return Ok(()); // that the log ends before it is for others to judge
            }
            tokio::time::sleep(LAG_LOOK).await;
        }
        Err(Stop::Log(event_store::Error::Standby))
    }

    /// Reads places and the checkpoint they belong to. A generation without one cannot be compared.
    async fn observe(&self, places: &[Place]) -> Result<(Checkpoint, Observed), Stop> {
        let observed = self.stored.observe(places).await?;
        let checkpoint = observed.checkpoint.ok_or(Stop::Conflict)?;
        Ok((checkpoint, observed))
    }

    fn place(&self, change: &Change) -> Place {
        change.place(self.stored.keys())
    }

    fn mismatch(
        &self,
        seen: Checkpoint,
        place: &Place,
        (wrong, right): (Option<&[u8]>, Option<&[u8]>),
    ) -> Mismatch {
        Mismatch {
            view: self.view,
            shard: self.shard,
            generation: self.generation,
            seen,
            place: place.clone(),
            wrong: wrong.map(<[u8]>::to_vec),
            right: right.map(<[u8]>::to_vec),
        }
    }

    /// Compares what was found at some places with what should be there.
    fn compare(
        &self,
        seen: Checkpoint,
        places: &[Place],
        found: &[Option<Vec<u8>>],
        right: &[Option<Vec<u8>>],
    ) -> Findings {
        let mut findings = Findings::default();
        for ((place, found), right) in places.iter().zip(found).zip(right) {
            findings.checked += 1;
            findings.read += 1;
            if found != right {
                findings.count += 1;
                let both = (found.as_deref(), right.as_deref());
                findings.mismatches.push(self.mismatch(seen, place, both));
            }
        }
        findings
    }
}

/// Compares everything that a generation holds with the log, as fast as it goes.
pub(crate) async fn verify_target(
    log: &Arc<LogReader>,
    identity: &LogIdentity,
    target: &Target,
) -> Result<Findings, Stop> {
    let mut findings = Findings::default();
    let mut after: Option<AccountNumber> = None;
    loop {
        let chunk = match target.view {
            View::Accounts => check_accounts(log, target, after).await?,
            View::Transactions => check_statements(log, target, after).await?,
            View::Totals => break,
        };
        let Some((last, of_chunk)) = chunk else { break };
        findings.add(of_chunk);
        after = Some(last);
    }
    let mut replay = Replay::begin(identity, target).await?;
    while let Some(of_page) = replay.step(log, target).await? {
        findings.add(of_page);
    }
    let indexed = replay.into_indexed();
    let mut cursor = Some(ScanCursor::START);
    while let Some(at) = cursor {
        let (next, of_step) = check_strays(log, target, &indexed, at).await?;
        findings.add(of_step);
        cursor = next;
    }
    Ok(findings)
}

//! Replaying the log from its beginning, and comparing instead of storing: everything that is written once and
//! never again, and the totals.

use std::{collections::HashMap, future::ready, sync::Arc};

use event_store::{ChainLink, LogIdentity, LogReader};
use ledger::Position;
use read_model::{Change, Checkpoint, Place, ShardTotals, index_of};

use super::{Findings, Target};
use crate::{
    error::Stop,
    log::Openings,
    projection::{EventPage, Projection},
    track::read_page,
};

/// Events per step.
const PAGE_EVENTS: usize = 500;

/// Openings remembered while replaying.
const OPENINGS_MAX: u32 = 20_000;

/// A replay under way.
pub(crate) struct Replay {
    link: ChainLink,
    upto: Checkpoint,
    projection: Projection,
    openings: Openings,
    /// What Redis held at `upto`, and is compared when the replay has come there.
    totals: Option<Vec<u8>>,
    ended: bool,
    indexed: IndexedCounts,
}

/// How many transactions begin in each part of the transaction index, as far as a replay has come.
#[derive(Debug)]
pub(crate) struct IndexedCounts {
    counts: HashMap<i64, usize>,
    upto: Position,
}

impl IndexedCounts {
    /// How many entries a part has, if the replay has seen all of it.
    pub(super) fn of_part(&self, part: i64) -> Option<usize> {
        (part < index_of(self.upto)).then(|| self.counts.get(&part).copied().unwrap_or(0))
    }
}

impl Replay {
    /// Begins at the beginning of the log, to end at what the generation includes now.
    pub(crate) async fn begin(identity: &LogIdentity, target: &Target) -> Result<Self, Stop> {
        let (upto, observed) = target.observe(&[totals_place(target)]).await?;
        Ok(Self {
            link: identity.genesis(target.shard),
            upto,
            projection: Projection::at_genesis(target.view, upto.entries_max),
            openings: Openings::new(target.shard, OPENINGS_MAX),
            totals: observed.values.into_iter().next().flatten(),
            ended: false,
            indexed: IndexedCounts { counts: HashMap::new(), upto: Position::ZERO },
        })
    }

    /// Replays one page. `None`: the end was reached before.
    pub(crate) async fn step(
        &mut self,
        log: &Arc<LogReader>,
        target: &Target,
    ) -> Result<Option<Findings>, Stop> {
        if self.ended {
            return Ok(None);
        }
        let left = self.upto.position.get().saturating_sub(self.link.position.get());
        let left = usize::try_from(left).unwrap_or(0);
        if left == 0 {
            self.ended = true;
            return Ok(Some(self.compare_totals(target)));
        }
        let page = read_page(log, target.shard, &self.link, left.min(PAGE_EVENTS)).await?;
        let last = page.last().ok_or(Stop::Conflict)?;
        self.link = last.link;
        let events: Vec<_> = page.into_iter().flat_map(|batch| batch.events).collect();
        let openings = self.openings.of_events(ready(Ok(log.clone())), &events).await?;
        let page = EventPage { events: &events, openings };
        let changes = self.projection.fold(&page);
        let changes = changes.map_err(|impossible| Stop::impossible(target.shard, &impossible))?;
        for change in &changes {
            if let Change::Indexed { position, .. } = change {
                *self.indexed.counts.entry(index_of(*position)).or_default() += 1;
            }
        }
        self.indexed.upto = self.link.position;
        let lasting: Vec<_> = changes.into_iter().filter(is_lasting).collect();
        self.compare_lasting(target, &lasting).await.map(Some)
    }

    /// What it has counted.
    pub(crate) fn into_indexed(self) -> IndexedCounts {
        self.indexed
    }

    /// How many events are left to replay.
    pub(crate) fn left(&self) -> u64 {
        let left = self.upto.position.get().saturating_sub(self.link.position.get());
        u64::try_from(left).unwrap_or(0)
    }

    async fn compare_lasting(&self, target: &Target, changes: &[Change]) -> Result<Findings, Stop> {
        let places: Vec<_> = changes.iter().map(|change| target.place(change)).collect();
        let (seen, observed) = target.observe(&places).await?;
        let right: Vec<_> = changes.iter().map(|change| change.bytes()).collect();
        let mut findings = target.compare(seen, &places, &observed.values, &right);
        if seen.entries_max > 0 && findings.count > 0 {
            self.forgive_what_is_not_kept(target, changes, &mut findings).await?;
        }
        Ok(findings)
    }

    /// Entries older than the oldest that is kept may be gone.
    async fn forgive_what_is_not_kept(
        &self,
        target: &Target,
        changes: &[Change],
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let keys = target.stored.keys();
        let mut kept = Vec::new();
        for mismatch in std::mem::take(&mut findings.mismatches) {
            let change = changes.iter().find(|change| target.place(change) == mismatch.place);
            let entry = match change {
                Some(
                    Change::Entry { account_id, version, .. }
                    | Change::NoEntry { account_id, version },
                ) => Some((account_id, *version)),
                _ => None,
            };
            if let Some((account_id, version)) = entry
                && mismatch.wrong.is_none()
            {
                let header = Place::Text { key: keys.header(account_id) };
                let (_, observed) = target.observe(&[header]).await?;
                let header = observed.values.into_iter().next().flatten();
                let header =
                    header.and_then(|bytes| read_model::StatementHeader::decode(&bytes).ok());
                if header.is_some_and(|header| version < header.oldest) {
                    findings.count = findings.count.saturating_sub(1);
                    continue;
                }
            }
            kept.push(mismatch);
        }
        findings.mismatches = kept;
        Ok(())
    }

    fn compare_totals(&self, target: &Target) -> Findings {
        let Projection::Totals(totals) = &self.projection else { return Findings::default() };
        let never_written = self.totals.is_none()
            && *totals == ShardTotals::default()
            && self.upto.recorded_at.is_none();
        if never_written {
            return Findings::default();
        }
        let right = Change::Totals(totals.clone()).bytes();
        let found = std::slice::from_ref(&self.totals);
        target.compare(self.upto, &[totals_place(target)], found, &[right])
    }
}

fn totals_place(target: &Target) -> Place {
    Place::Text { key: target.stored.keys().totals() }
}

/// Whether what a change stores stays as it is for ever. The rest is compared account by account, as it stands now.
fn is_lasting(change: &Change) -> bool {
    match change {
        Change::Owned { .. }
        | Change::Entry { .. }
        | Change::NoEntry { .. }
        | Change::Numbered { .. }
        | Change::Indexed { .. } => true,
        Change::Account(_)
        | Change::Header { .. }
        | Change::Latest { .. }
        | Change::BlockDropped { .. }
        | Change::Totals(_) => false,
    }
}

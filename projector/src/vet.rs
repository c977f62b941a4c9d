//! Before a new generation takes the visible one's place, both are compared key by key; where they differ, the
//! new one is compared with the log. This runs beside the projection, which moves both on meanwhile.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use ledger::Shard;
use read_model::{
    Generation, Name, Reader, ScanCursor, ScannedPair, StoredGeneration, SwapOutcome, View,
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Shared,
    error::Stop,
    inspect::{self, Findings, Target},
    janitor::Errand,
    lifecycle::Role,
    metrics::of_view,
    shard::ShardProjector,
    track::{Group, Track},
};

/// How often keys that differ are looked at again because the two generations stood at different places.
const TRIES_MAX: usize = 200;

/// How long between two such looks: two or three commits.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// Keys compared in one atomic step, and steps under way at once. The largest are blocks of a statement: a millisecond or two of Redis.
const COMPARED_AT_ONCE: usize = 128;
const COMPARISONS_UNDER_WAY: usize = 4;

/// Pages of a scan that wait to be compared.
const PAGES_AHEAD: usize = 2;

/// How many differing keys are named in the log; all are counted.
const NAMED_MAX: usize = 10;

/// Which new generations may take the visible one's place.
#[derive(Default)]
pub(crate) struct Vetting {
    verdicts: HashMap<(View, Generation), Verdict>,
    running: JoinSet<Ended>,
}

/// Which generation was compared, and whether queries may see it.
type Ended = ((View, Generation), Result<bool, Stop>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pending,
    Approved,
    Rejected,
}

impl Vetting {
    /// Ends when some comparison has come to its end; never, if none is under way.
    pub(crate) async fn finished(&mut self) {
        match self.running.join_next().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok((of, Ok(approved))) => {
                let verdict = if approved { Verdict::Approved } else { Verdict::Rejected };
                self.verdicts.insert(of, verdict);
            }
            Ok((of, Err(stop))) => {
                self.verdicts.remove(&of); // begun again
                let error = anyhow::Error::new(stop);
                tracing::warn!(
                    view.name = %of.0,
                    generation = of.1.get(),
                    error = format!("{error:#}"),
                    "comparing generations fails; trying again"
                );
            }
            Err(panicked) => {
                self.verdicts.retain(|_, verdict| *verdict != Verdict::Pending);
                tracing::error!(error = %panicked, "comparing generations ended");
            }
        }
    }
}

impl ShardProjector {
    /// Lets queries see new generations that have come as far as the visible ones and are equal to them.
    /// Whether anything changed.
    pub(crate) async fn swap_what_is_ready(&mut self, groups: &[Group]) -> Result<bool, Stop> {
        while let Some(ended) = self.vetting.running.try_join_next() {
            self.vetting.note(ended);
        }
        for group in groups {
            for building in group.tracks.iter().filter(|track| track.role == Role::Building) {
                let is_visible =
                    |track: &&Track| track.role == Role::Visible && track.view == building.view;
                let beside = group.tracks.iter().find(is_visible);
                let ahead = groups.iter().flat_map(|group| &group.tracks).find(is_visible);
                let ready = match (beside, ahead) {
                    (Some(visible), _) => self.vetted(building, visible).await?,
                    (None, Some(_)) => false, // still catching up
                    // Nothing is visible that could be compared or continued.
                    (None, None) => group.at_head,
                };
                if ready && self.swap(building).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a new generation has been found to be equal to the visible one, or right where that is wrong.
    async fn vetted(&mut self, building: &Track, visible: &Track) -> Result<bool, Stop> {
        let of = (building.view, building.generation);
        match self.vetting.verdicts.get(&of) {
            Some(Verdict::Approved) => return Ok(true),
            Some(Verdict::Pending) => return Ok(false),
            Some(Verdict::Rejected) => {
                let (view, generation) = of;
                self.shared.writer.forget_generation(view, self.shard, generation).await?;
                _ = self.shared.errands.try_send(Errand::Drop {
                    view,
                    shard: self.shard,
                    generation,
                });
                self.vetting.verdicts.remove(&of);
                return Err(Stop::Conflict); // what is held in memory is no longer true
            }
            None => {}
        }
        self.vetting.verdicts.insert(of, Verdict::Pending);
        let shared = self.shared.clone();
        let shard = self.shard;
        // One that keeps more or fewer entries of statements is another one on purpose.
        let is_alike = building.checkpoint.entries_max == visible.checkpoint.entries_max;
        let visible = is_alike.then_some(visible.generation);
        self.vetting.running.spawn(async move {
            let verdict = vet(&shared, of.0, shard, visible, of.1).await;
            if matches!(verdict, Err(Stop::Log(_))) {
                shared.background.give_up().await;
            }
            (of, verdict)
        });
        Ok(false)
    }

    async fn swap(&mut self, building: &Track) -> Result<bool, Stop> {
        let shared = self.shared.clone();
        let (view, shard, generation) = (building.view, self.shard, building.generation);
        let mut status = shared.writer.status(view, shard).await?;
        if let Some(retired) = status.retired {
            // Only one generation is kept to go back to.
            let generation = retired.generation;
            shared.writer.forget_generation(view, shard, generation).await?;
            _ = shared.errands.try_send(Errand::Drop { view, shard, generation });
            status = shared.writer.status(view, shard).await?;
        }
        let outcome = shared.writer.swap(&status, generation, Some(&building.checkpoint)).await?;
        if outcome != SwapOutcome::Swapped {
            return Ok(false);
        }
        shared.metrics.generations_swapped.get_or_create(&of_view(view, shard)).inc();
        tracing::info!(
            view.name = %view,
            shard = shard.get(),
            generation = generation.get(),
            position = building.checkpoint.position.get(),
            "generation visible"
        );
        Ok(true)
    }
}

/// Compares the new generation with the visible one, if they should be alike, and where they differ with the log. Whether
/// queries may see it.
async fn vet(
    shared: &Arc<Shared>,
    view: View,
    shard: Shard,
    visible: Option<Generation>,
    building: Generation,
) -> Result<bool, Stop> {
    let Some(visible) = visible else {
        let wrong = compare_with_log(shared, view, shard, building).await?;
        tracing::info!(
            view.name = %view, shard = shard.get(), generation = building.get(), mismatches = wrong.count,
            "compared with the log, because the visible generation keeps other entries"
        );
        return Ok(wrong.count == 0);
    };
    // Answers are long, and nobody else should wait behind them; not even the scan that says what to compare next.
    let [scanning, comparing] = [shared.reader.clone(), Reader::new(&shared.config.store())?];
    let scanned = scanning.generation(view, shard, building);
    let [old, new] =
        [visible, building].map(|generation| comparing.generation(view, shard, generation));
    let differences = compare(&scanned, &old, &new).await?;
    let count = differences.len();
    if count == 0 {
        tracing::info!(
            view.name = %view,
            shard = shard.get(),
            generation = building.get(),
            "both generations are equal"
        );
        return Ok(true);
    }
    let label = of_view(view, shard);
    let counted = u64::try_from(count).unwrap_or(u64::MAX);
    shared.metrics.generation_differences.get_or_create(&label).inc_by(counted);
    let named = differences.iter().take(NAMED_MAX).map(|name| format!("{name:?}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let wrong = compare_with_log(shared, view, shard, building).await?;
    if wrong.count == 0 {
        tracing::error!(
            view.name = %view, shard = shard.get(), differences = count, named,
            "the visible generation differs from the new one, which is equal to the log"
        );
        return Ok(true);
    }
    tracing::error!(
        view.name = %view, shard = shard.get(), differences = count, named, mismatches = wrong.count,
        "the new generation differs from the log and is dropped"
    );
    Ok(false)
}

async fn compare_with_log(
    shared: &Shared,
    view: View,
    shard: Shard,
    generation: Generation,
) -> Result<Findings, Stop> {
    let identity = (*shared.identity.borrow()).ok_or(Stop::Conflict)?;
    let log = shared.background.reader().await?;
    let target = Target::new(&shared.reader, view, shard, generation);
    inspect::verify_target(&log, &identity, &target).await
}

/// The keys in which two generations differ while both are at the same place of the log.
async fn compare(
    scanned: &StoredGeneration,
    old: &StoredGeneration,
    new: &StoredGeneration,
) -> Result<Vec<Name>, Stop> {
    // What one has when the scan begins, the other has too if it is to have it at all, and so the scan finds both.
    settled(new, old, Look::AtNothing).await?;
    // Ahead of what is compared, whose answers take long.
    let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
    let scan = async move {
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let page = scanned.scan_with(old, at).await?;
            cursor = page.next;
            if sender.send(page).await.is_err() {
                break;
            }
        }
        Ok::<_, Stop>(())
    };
    let pages = stream::poll_fn(|context| pages.poll_recv(context));
    let steps = pages.flat_map(|page| stream::iter(steps(page)));
    let differing = steps.map(|step| step.differing(old.clone(), new.clone()));
    let mut differing = std::pin::pin!(differing.buffer_unordered(COMPARISONS_UNDER_WAY));
    let collect = async {
        let mut differences = HashSet::new();
        while let Some(found) = differing.try_next().await? {
            differences.extend(found);
        }
        Ok(differences)
    };
    let ((), differences) = futures::try_join!(scan, collect)?;
    Ok(differences.into_iter().collect())
}

/// Names to look at in one atomic step.
enum Step {
    /// Of the new generation: compared with the old one.
    Compare(Vec<Name>),
    /// Of the old one: what the new one has too is compared when it is found there.
    Find(Vec<Name>),
}

impl Step {
    async fn differing(
        self,
        old: StoredGeneration,
        new: StoredGeneration,
    ) -> Result<Vec<Name>, Stop> {
        match self {
            Self::Find(names) if new.has_all(&names).await? => Ok(Vec::new()),
            Self::Compare(names) | Self::Find(names) => settled(&new, &old, Look::At(names)).await,
        }
    }
}

fn steps(page: ScannedPair) -> Vec<Step> {
    let ours = page.ours.chunks(COMPARED_AT_ONCE).map(|names| Step::Compare(names.to_vec()));
    let theirs = page.theirs.chunks(COMPARED_AT_ONCE).map(|names| Step::Find(names.to_vec()));
    ours.chain(theirs).collect()
}

/// What to compare.
enum Look {
    /// Only where both stand.
    AtNothing,
    At(Vec<Name>),
}

/// Which of the names still differ when both generations are at the same place.
async fn settled(
    side: &StoredGeneration,
    other: &StoredGeneration,
    look: Look,
) -> Result<Vec<Name>, Stop> {
    let (mut names, to_the_end) = match look {
        Look::AtNothing => (Vec::new(), true),
        Look::At(names) => (names, false),
    };
    for _ in 0..TRIES_MAX {
        if names.is_empty() && !to_the_end {
            return Ok(names);
        }
        let (differing, checkpoints) = side.differing(other, &names).await?;
        names = differing;
        match checkpoints {
            [Some(ours), Some(theirs)] if ours == theirs => return Ok(names),
            [Some(_), Some(_)] => tokio::time::sleep(RETRY_AFTER).await,
            _ => return Err(Stop::Conflict), // one of them is gone
        }
    }
    Err(Stop::Conflict)
}

#[cfg(test)]
mod tests {
    use ledger::{LogId, Position};
    use read_model::{Change, Checkpoint, Page, ShardTotals, StoreConfig, Writer};

    use super::*;

    fn checkpoint(at: i64) -> Checkpoint {
        Checkpoint {
            log_id: LogId(uuid::Uuid::from_u128(1)),
            position: Position::new(at).unwrap(),
            hash: [0; 32],
            recorded_at: None,
            entries_max: 0,
        }
    }

    async fn commit(writer: &Writer, generation: Generation, from: i64, to: i64) {
        let totals = ShardTotals { position: Position::new(to), ..ShardTotals::default() };
        let page = Page {
            view: View::Totals,
            shard: Shard::ZERO,
            generation,
            expected: checkpoint(from),
            upto: checkpoint(to),
            changes: vec![Change::Totals(totals)],
        };
        writer.commit(&page).await.unwrap();
    }

    #[tokio::test]
    async fn generations_at_different_places_are_not_called_different() {
        let servers = dev_servers::TestServers::get();
        let mut store = StoreConfig::new(servers.redis());
        store.key_prefix = servers.redis_prefix();
        let writer = Writer::connect(&store).await.unwrap();
        let reader = Reader::connect(&store).await.unwrap();
        let mut generations = Vec::new();
        for _ in 0..2 {
            let status = writer.status(View::Totals, Shard::ZERO).await.unwrap();
            generations.push(writer.begin(&status, &checkpoint(0)).await.unwrap().unwrap());
        }
        commit(&writer, generations[0], 0, 2).await;
        commit(&writer, generations[1], 0, 1).await;
        let [old, new] =
            [0, 1].map(|i| reader.generation(View::Totals, Shard::ZERO, generations[i]));
        let catch_up = async {
            tokio::time::sleep(RETRY_AFTER * 4).await;
            commit(&writer, generations[1], 1, 2).await;
        };
        let (differing, ()) =
            tokio::join!(settled(&new, &old, Look::At(vec![Name::Totals])), catch_up);
        assert_eq!(differing.unwrap(), []);
    }
}

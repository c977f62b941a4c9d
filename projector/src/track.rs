//! Generations that stand at the same place of the log and are projected together: one read, one fold and one
//! commit each.

use std::future::ready;

use event_store::{ChainLink, LogReader, RecordedBatch, RecordedEvent};
use futures::future::join_all;
use ledger::Shard;
use read_model::{Checkpoint, Generation, Page, View};
use tokio::time::Instant;

use crate::{
    Shared,
    error::Stop,
    lifecycle::Role,
    log::Openings,
    metrics::{of_shard, of_view},
    projection::{EventPage, Projection},
};

/// One generation of a view being projected.
pub(crate) struct Track {
    pub(crate) view: View,
    pub(crate) generation: Generation,
    pub(crate) role: Role,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) projection: Projection,
}

/// Generations of one shard that stand at the same place of the log.
pub(crate) struct Group {
    pub(crate) link: ChainLink,
    pub(crate) tracks: Vec<Track>,
    /// The log had no more when it was last read.
    pub(crate) at_head: bool,
}

/// Puts generations together that have come to the same place.
pub(crate) fn merge(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups {
        match merged.iter_mut().find(|other| other.link == group.link) {
            Some(other) => {
                other.at_head &= group.at_head;
                other.tracks.extend(group.tracks);
            }
            None => merged.push(group),
        }
    }
    // Queries first: what they see is stored before what is being built beside it.
    merged.sort_by_key(|group| group.tracks.iter().all(|track| track.role == Role::Building));
    merged
}

/// The next batches. A page that cannot be verified or understood is read again batch by batch, so that the
/// projection stops exactly before the one that is wrong.
pub(crate) async fn read_page(
    log: &LogReader,
    shard: Shard,
    after: &ChainLink,
    events_max: usize,
) -> Result<Vec<RecordedBatch>, event_store::Error> {
    use event_store::Error;
    match log.read_after(shard, after, events_max).await {
        Err(Error::Corrupt { .. } | Error::NotUnderstood { .. }) => {
            log.read_after(shard, after, 1).await
        }
        outcome => outcome,
    }
}

impl Group {
    /// Projects one page. `false`: the log has no more.
    pub(crate) async fn project_page(
        &mut self,
        shared: &Shared,
        shard: Shard,
        openings: &mut Openings,
    ) -> Result<bool, Stop> {
        let log = shared.tail.reader().await?;
        let page = read_page(&log, shard, &self.link, shared.config.page_events()).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let (link, recorded_at) = (last.link, last.recorded_at);
        let events: Vec<RecordedEvent> = page.into_iter().flat_map(|batch| batch.events).collect();
        let openings = openings.of_events(ready(Ok(log)), &events).await?;
        let event_count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let page = EventPage { events: &events, openings };
        let pages = self.fold(shard, &page, |checkpoint| Checkpoint {
            position: link.position,
            hash: link.hash,
            recorded_at: Some(recorded_at),
            ..checkpoint
        })?;
        let begun = Instant::now();
        let outcomes = join_all(pages.iter().map(|page| shared.writer.commit(page))).await;
        shared.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        for ((track, page), outcome) in self.tracks.iter_mut().zip(&pages).zip(outcomes) {
            let label = of_view(track.view, shard);
            match outcome {
                Ok(()) => {
                    track.checkpoint = page.upto;
                    shared.metrics.pages.get_or_create(&label).inc();
                }
                Err(source @ read_model::Error::WrongType { .. }) => {
                    let (view, generation) = (track.view, track.generation);
                    return Err(Stop::Unusable { view, generation, source });
                }
                Err(error) => {
                    if matches!(error, read_model::Error::Conflict { .. }) {
                        shared.metrics.commit_conflicts.get_or_create(&label).inc();
                    }
                    return Err(error.into());
                }
            }
        }
        self.link = link;
        shared.metrics.events.get_or_create(&of_shard(shard)).inc_by(event_count);
        shared.metrics.page_events.observe(f64::from(u32::try_from(event_count).unwrap_or(0)));
        tracing::debug!(
            shard = shard.get(),
            position = link.position.get(),
            events = event_count,
            "page stored"
        );
        Ok(true)
    }

    fn fold(
        &mut self,
        shard: Shard,
        page: &EventPage<'_>,
        next: impl Fn(Checkpoint) -> Checkpoint,
    ) -> Result<Vec<Page>, Stop> {
        let fold = |track: &mut Track| {
            let changes = track.projection.fold(page);
            let changes = changes.map_err(|impossible| Stop::impossible(shard, &impossible))?;
            Ok(Page {
                view: track.view,
                shard,
                generation: track.generation,
                expected: track.checkpoint,
                upto: next(track.checkpoint),
                changes,
            })
        };
        self.tracks.iter_mut().map(fold).collect()
    }
}

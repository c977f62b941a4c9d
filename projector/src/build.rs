//! Building generations that are far behind: the log is read on and on, folded in memory into strides, and each stride is
//! stored chunk by chunk while the next ones are read.
//!
//! A stride is too much for one script. So while it is stored, values are ahead of the generation's checkpoint, which nobody
//! minds while nobody sees the generation: every value is absolute and is written again before the checkpoint comes to it. What
//! must not happen is that a chunk is lost, or that the generation becomes visible meanwhile. See `docs/adr/0013`.

use std::{
    collections::{HashMap, HashSet},
    future::ready,
    sync::Arc,
};

use event_store::{ChainLink, LogCopy, LogReader, RecordedBatch};
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::{try_join, try_join_all},
    stream,
};
use ledger::{Shard, Timestamp};
use read_model::{Change, Checkpoint, Chunk, Filling, Generation, View};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
    time::Instant,
};

use crate::{
    Shared,
    error::Stop,
    load::link_of,
    log::Openings,
    metrics::{of_shard, of_view},
    projection::{EventPage, Gathered, Projection},
    track::Track,
};

/// A projector that is killed reads at most so many events again.
const STRIDE_EVENTS_MAX: u64 = 5_000_000;

/// Changes per chunk for each event that a page may have: what Redis does at once stays about the same.
const CHANGES_PER_PAGE_EVENT: usize = 2;

/// Strides that wait while one is stored and one is read: reading and storing take turns in being the slower.
const STRIDES_WAITING: usize = 1;

/// Chunks under way at once, so that Redis has the next when it is done with one.
const CHUNKS_UNDER_WAY: usize = 2;

/// What is being built of a shard.
#[derive(Default)]
pub(crate) struct Builds {
    running: JoinSet<Result<(), Stop>>,
    generations: HashMap<Id, Vec<(View, Generation)>>,
    ended: Vec<Result<(), Stop>>,
    /// After a failure.
    pub(crate) not_before: Option<Instant>,
}

impl Builds {
    pub(crate) fn begin(&mut self, build: Build) {
        let generations = build.targets.iter().map(|target| (target.view, target.generation));
        let generations = generations.collect();
        let task = self.running.spawn(build.run());
        self.generations.insert(task.id(), generations);
    }

    pub(crate) fn under_way(&self) -> HashSet<(View, Generation)> {
        self.generations.values().flatten().copied().collect()
    }

    /// Ends when some build has; never, if none is under way.
    pub(crate) async fn wait(&mut self) {
        match self.running.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    /// What a build that has ended came to.
    pub(crate) fn ended(&mut self) -> Option<Result<(), Stop>> {
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.note(ended);
        }
        self.ended.pop()
    }

    fn note(&mut self, ended: Result<(Id, Result<(), Stop>), tokio::task::JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(panicked) => {
                tracing::error!(error = %panicked, "building a generation ended");
                (panicked.id(), Err(Stop::Conflict))
            }
        };
        self.generations.remove(&id);
        self.ended.push(outcome);
    }
}

/// Generations of one shard that stand at the same place of the log and are built together.
pub(crate) struct Build {
    shared: Arc<Shared>,
    shard: Shard,
    link: ChainLink,
    targets: Vec<Target>,
    projections: Vec<Projection>,
}

/// A generation that is being built.
#[derive(Clone, Copy)]
struct Target {
    view: View,
    generation: Generation,
    checkpoint: Checkpoint,
    /// What is stored ahead of the checkpoint.
    filling: Option<Filling>,
}

impl Build {
    pub(crate) fn new(shared: Arc<Shared>, shard: Shard, link: ChainLink) -> Self {
        Self { shared, shard, link, targets: Vec::new(), projections: Vec::new() }
    }

    /// Where its generations stand.
    pub(crate) fn link(&self) -> ChainLink {
        self.link
    }

    /// Adds a generation, with the stride that some projector has begun to store in it and not ended.
    pub(crate) fn add(&mut self, track: Track, filling: Option<Filling>) {
        let Track { view, generation, checkpoint, projection, role: _ } = track;
        self.targets.push(Target { view, generation, checkpoint, filling });
        self.projections.push(projection);
    }

    /// Builds until so little is left that it goes with the pages of the visible generations.
    async fn run(self) -> Result<(), Stop> {
        let Self { shared, shard, link, mut targets, projections } = self;
        let url = shared.config.database.database_url.expose();
        let log = LogReader::connect_to_copy(url, "counterfoil-projector/build").await?;
        let identity = (*shared.identity.borrow()).ok_or(Stop::Conflict)?;
        for filling in targets.iter().filter_map(|target| target.filling) {
            // Asked of whom it is read from: another server may have another history.
            link_of(&log, &identity, shard, &filling.farthest).await?;
        }
        let mut reading = Reading {
            shard,
            log: LogCopy::new(log, shard, link),
            openings: Openings::new(shard, shared.config.openings_max),
            projections,
            shared: shared.clone(),
        };
        let (sender, mut strides) = mpsc::channel(STRIDES_WAITING);
        let read = async {
            loop {
                let stride = reading.stride().await;
                let is_last = match &stride.end {
                    End::Full => false,
                    End::Head => stride.events <= u64::from(shared.config.page_events_max),
                    End::Failed(_) => true,
                };
                if sender.send(stride).await.is_err() || is_last {
                    drop(sender);
                    return Ok(());
                }
            }
        };
        let store = async {
            while let Some(mut stride) = strides.recv().await {
                let end = std::mem::replace(&mut stride.end, End::Full);
                stride.store(&shared, shard, &mut targets).await?;
                if let End::Failed(stop) = end {
                    return Err(stop);
                }
            }
            Ok(())
        };
        try_join(read, store).await.map(|((), ())| ())
    }
}

/// The log, as far as it has been folded.
struct Reading {
    shared: Arc<Shared>,
    shard: Shard,
    log: LogCopy,
    openings: Openings,
    projections: Vec<Projection>,
}

/// What some events change in all views that are built together.
struct Stride {
    gathered: Vec<Gathered>,
    events: u64,
    /// Its last batch.
    upto: Option<(ChainLink, Timestamp)>,
    end: End,
}

/// Why a stride goes no further.
enum End {
    /// It is as large as it may be.
    Full,
    /// The log had no more.
    Head,
    /// What is behind it cannot be read. What it holds is right.
    Failed(Stop),
}

impl Reading {
    /// Folds the next events, as many as may be remembered.
    async fn stride(&mut self) -> Stride {
        let gathered = self.projections.iter().map(Projection::gather).collect();
        let mut stride = Stride { gathered, events: 0, upto: None, end: End::Full };
        while stride.bytes() < self.shared.config.stride_bytes()
            && stride.events < STRIDE_EVENTS_MAX
        {
            match self.log.next().await {
                Ok(Some(batch)) => {
                    if let Err(stop) = self.take(&batch, &mut stride).await {
                        stride.end = End::Failed(stop);
                        break;
                    }
                }
                Ok(None) => {
                    stride.end = End::Head;
                    break;
                }
                Err(error) => {
                    stride.end = End::Failed(error.into());
                    break;
                }
            }
        }
        for (projection, gathered) in self.projections.iter_mut().zip(&stride.gathered) {
            projection.advance(gathered);
        }
        let events = &self.shared.metrics.events;
        events.get_or_create(&of_shard(self.shard)).inc_by(stride.events);
        stride
    }

    /// Folds a batch as a whole, or not at all.
    async fn take(&mut self, batch: &RecordedBatch, stride: &mut Stride) -> Result<(), Stop> {
        // Not on the connection that is copying.
        let log = self.shared.background.reader();
        let openings = self.openings.of_events(log, &batch.events).await?;
        let page = EventPage { events: &batch.events, openings };
        let events = page.with_openings().collect::<Result<Vec<_>, _>>();
        let events = events.map_err(|impossible| Stop::impossible(self.shard, &impossible))?;
        for gathered in &mut stride.gathered {
            events.iter().for_each(|(event, opened)| gathered.add(event, opened));
        }
        stride.events += u64::try_from(events.len()).unwrap_or(u64::MAX);
        stride.upto = Some((batch.link, batch.recorded_at));
        Ok(())
    }
}

impl Stride {
    fn bytes(&self) -> usize {
        self.gathered.iter().map(Gathered::bytes).sum()
    }

    async fn store(
        self,
        shared: &Shared,
        shard: Shard,
        targets: &mut [Target],
    ) -> Result<(), Stop> {
        let Self { gathered, events, upto, .. } = self;
        let stores = targets.iter_mut().zip(gathered).map(|(target, gathered)| async move {
            let upto = match upto {
                Some((link, recorded_at)) => Checkpoint {
                    position: link.position,
                    hash: link.hash,
                    recorded_at: Some(recorded_at),
                    ..target.checkpoint
                },
                // Nothing new, but somebody's chunks may lie about of what the generation includes by now.
                None if target.filling.is_some() => target.checkpoint,
                None => return Ok(()),
            };
            let changes = if events == 0 { None } else { Some(gathered.into_changes()) };
            target.store(shared, shard, upto, changes.into_iter().flatten()).await
        });
        try_join_all(stores).await.map(|_: Vec<()>| ())
    }
}

impl Target {
    /// Stores changes chunk by chunk, and with the last chunk the checkpoint that includes them.
    async fn store(
        &mut self,
        shared: &Shared,
        shard: Shard,
        upto: Checkpoint,
        changes: impl Iterator<Item = Change> + Send,
    ) -> Result<(), Stop> {
        let begun = Instant::now();
        let size = shared.config.page_events().saturating_mul(CHANGES_PER_PAGE_EVENT);
        let mut chunks = chunks(*self, shard, upto, size, changes);
        let stored = async |chunk: Chunk| {
            shared.builder.fill(&chunk).await?;
            Ok::<_, read_model::Error>(chunk)
        };
        // Alone, because Redis may not know the script yet, and those behind it would be too early.
        let mut last = match chunks.next() {
            Some(chunk) => Some(stored(chunk).await),
            None => None,
        };
        if let Some(Ok(_)) = &last {
            let rest = stream::iter(chunks).map(stored).buffered(CHUNKS_UNDER_WAY);
            let end = rest.try_fold(None, |_, chunk| ready(Ok(Some(chunk)))).await;
            last = end.transpose().or(last);
        }
        let label = of_view(self.view, shard);
        match last.transpose() {
            Ok(chunk) => {
                self.filling = chunk.and_then(|chunk| chunk.after);
                self.checkpoint = upto;
                shared.metrics.strides.get_or_create(&label).inc();
                tracing::debug!(
                    view.name = %self.view,
                    shard = shard.get(),
                    generation = self.generation.get(),
                    position = upto.position.get(),
                    seconds = begun.elapsed().as_secs_f64(),
                    "stride stored"
                );
                Ok(())
            }
            Err(source @ read_model::Error::WrongType { .. }) => {
                let (view, generation) = (self.view, self.generation);
                Err(Stop::Unusable { view, generation, source })
            }
            Err(error) => {
                if matches!(error, read_model::Error::Conflict { .. }) {
                    shared.metrics.commit_conflicts.get_or_create(&label).inc();
                }
                Err(error.into())
            }
        }
    }
}

/// Cuts changes into chunks, each of which names the one before. There is at least one, which brings the checkpoint.
fn chunks(
    target: Target,
    shard: Shard,
    upto: Checkpoint,
    size: usize,
    changes: impl Iterator<Item = Change> + Send,
) -> impl Iterator<Item = Chunk> + Send {
    let Target { view, generation, checkpoint: expected, filling: mut before } = target;
    let ahead = before.map(|filling| filling.farthest);
    let ahead = ahead.filter(|farthest| farthest.position > upto.position);
    let begun = Filling::begin(ahead.unwrap_or(upto));
    let mut changes = changes.peekable();
    let mut ended = false;
    (1_u64..).map_while(move |number| {
        if ended {
            return None;
        }
        let changes_of_chunk: Vec<_> = changes.by_ref().take(size.max(1)).collect();
        ended = changes.peek().is_none();
        let here = Filling { chunks: number, ..begun };
        // What another one has stored further ahead stays said until the generation includes it too.
        let after = Some(here).filter(|_| !ended || ahead.is_some());
        let chunk = Chunk {
            view,
            shard,
            generation,
            expected,
            before,
            after,
            upto: ended.then_some(upto),
            changes: changes_of_chunk,
        };
        before = after;
        Some(chunk)
    })
}

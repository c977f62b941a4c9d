//! One shard, from the log to Redis: read after the checkpoint, verify, fold, commit; wait when there is
//! nothing to read.
//!
//! Nothing here is believed for long. After any error, and every now and then without one, what is held in
//! memory is thrown away and everything is read anew from Redis, where the checkpoint lies beside the data it
//! vouches for.

use std::{collections::HashSet, sync::Arc, time::Duration};

use event_store::LogIdentity;
use ledger::Shard;
use read_model::{Generation, View};
use tokio::{sync::watch, time::Instant};

use crate::{
    Shared,
    build::Builds,
    error::Stop,
    load,
    log::Openings,
    metrics::{of_kind, of_shard},
    problems::Problems,
    track::{Group, merge},
    vet::Vetting,
};

/// The first wait after a failure, and the longest: each is twice the one before.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// Projects one shard.
pub(crate) struct ShardProjector {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: Shard,
    rings: watch::Receiver<u64>,
    identity: watch::Receiver<Option<LogIdentity>>,
    openings: Openings,
    /// What was read from Redis, and when. Empty after any error.
    known: Option<Known>,
    /// Generations that hold something that is not ours.
    pub(crate) unusable: HashSet<(View, Generation)>,
    pub(crate) vetting: Vetting,
    pub(crate) builds: Builds,
    failures: u32,
}

pub(crate) struct Known {
    pub(crate) identity: LogIdentity,
    pub(crate) groups: Vec<Group>,
    pub(crate) loaded_at: Instant,
}

/// What a round came to.
enum Round {
    /// There may be more to read at once.
    Moved,
    /// The log had no more.
    Idle,
    /// No log to project: not seen yet, or Redis is not ours.
    NoLog,
}

impl ShardProjector {
    pub(crate) fn new(shared: Arc<Shared>, shard: Shard) -> Self {
        Self {
            rings: shared.rings.subscribe(),
            identity: shared.identity.subscribe(),
            openings: Openings::new(shard, shared.config.openings_max),
            known: None,
            unusable: HashSet::new(),
            vetting: Vetting::default(),
            builds: Builds::default(),
            failures: 0,
            shared,
            shard,
        }
    }

    /// Projects for ever. May be dropped at any await, like a process that is killed.
    pub(crate) async fn run(mut self) {
        loop {
            // Before the log is read: what rings from now on is waited for no longer.
            self.rings.mark_unchanged();
            self.identity.mark_unchanged();
            match self.round().await {
                Ok(Round::NoLog) => {
                    // Whatever comes next is compared with what is there before it is called well.
                    let problem = Some("no log to project".to_owned());
                    self.shared.problems.report(&self.part(), problem).await;
                    self.wait(self.shared.config.head_interval).await;
                }
                Ok(round) => {
                    self.succeeded().await;
                    if let Round::Idle = round {
                        self.wait(self.shared.config.poll_interval).await;
                    }
                }
                Err(stop) => {
                    self.known = None;
                    self.failed(stop).await;
                }
            }
        }
    }

    /// One page for every group of generations, and whatever the generations need.
    async fn round(&mut self) -> Result<Round, Stop> {
        let identity = *self.identity.borrow();
        let Some(identity) = identity else {
            self.known = None;
            self.builds = Builds::default();
            return Ok(Round::NoLog);
        };
        while let Some(ended) = self.builds.ended() {
            self.known = None;
            match ended {
                Ok(()) => self.building_goes_on().await,
                Err(stop) => self.building_failed(stop).await,
            }
        }
        let mut known = match self.known.take() {
            Some(known)
                if known.identity == identity
                    && known.loaded_at.elapsed() < self.shared.config.refresh_interval =>
            {
                known
            }
            stale => {
                if stale.is_some_and(|stale| stale.identity != identity) {
                    // Another log: nothing that was remembered of the last one holds.
                    self.builds = Builds::default();
                    self.building_goes_on().await;
                    self.openings = Openings::new(self.shard, self.shared.config.openings_max);
                }
                load::load(self, identity).await?
            }
        };
        let mut moved = false;
        for group in &mut known.groups {
            let has_read = group.project_page(&self.shared, self.shard, &mut self.openings).await?;
            group.at_head = !has_read;
            moved |= has_read;
        }
        known.groups = merge(std::mem::take(&mut known.groups));
        if self.swap_what_is_ready(&known.groups).await? {
            return Ok(Round::Moved); // and everything is read anew
        }
        self.known = Some(known);
        Ok(if moved { Round::Moved } else { Round::Idle })
    }

    async fn succeeded(&mut self) {
        self.failures = 0;
        let part = self.part();
        if self.shared.problems.report(&part, None).await {
            self.shared.metrics.stopped.get_or_create(&of_shard(self.shard)).set(0);
            tracing::info!(shard = self.shard.get(), "projecting again");
        }
    }

    async fn failed(&mut self, stop: Stop) {
        let shared = self.shared.clone();
        let count = |kind| _ = shared.metrics.errors.get_or_create(&of_kind(kind)).inc();
        match &stop {
            Stop::Conflict => {
                // Another projector is at work. Not woken by the bell: one of the two should lead.
                tracing::debug!(shard = self.shard.get(), "another projector was faster");
                tokio::time::sleep(shared.config.poll_interval).await;
            }
            Stop::Unusable { view, generation, .. } => {
                count("unusable_generation");
                self.unusable.insert((*view, *generation));
                let error = anyhow::Error::new(stop);
                tracing::error!(
                    shard = self.shard.get(),
                    error = format!("{error:#}"),
                    "building a new generation"
                );
            }
            loud if loud.is_loud() => {
                count("corrupt");
                shared.metrics.stopped.get_or_create(&of_shard(self.shard)).set(1);
                let problem = loud.to_string();
                if shared.problems.report(&self.part(), Some(problem.clone())).await {
                    tracing::error!(
                        shard = self.shard.get(),
                        error = problem,
                        "projection stopped"
                    );
                }
                // Looked at again slowly, or at once when the log is declared to be another one.
                let changed = self.identity.changed();
                _ = tokio::time::timeout(shared.config.recheck_interval, changed).await;
            }
            _ => {
                match stop {
                    Stop::Log(_) => {
                        count("log");
                        shared.tail.give_up().await;
                    }
                    _ => count("read_model"),
                }
                let error = format!("{:#}", anyhow::Error::new(stop));
                if shared.problems.report(&self.part(), Some(error.clone())).await {
                    tracing::warn!(
                        shard = self.shard.get(),
                        error,
                        "projecting fails; trying again"
                    );
                }
                let wait = RETRY_AFTER.saturating_mul(1 << self.failures.min(6));
                self.failures = self.failures.saturating_add(1);
                tokio::time::sleep(wait.min(RETRY_AFTER_MAX)).await;
            }
        }
    }

    /// Nothing that is built is known to be stopped by the log.
    pub(crate) async fn building_goes_on(&mut self) {
        if self.shared.problems.report(&self.building(), None).await {
            self.shared.metrics.stopped.get_or_create(&of_shard(self.shard)).set(0);
        }
    }

    /// What queries see is projected on meanwhile.
    async fn building_failed(&mut self, stop: Stop) {
        let shared = self.shared.clone();
        let shard = self.shard.get();
        let config = &shared.config;
        let (kind, wait) = match &stop {
            Stop::Conflict => ("conflict", config.poll_interval),
            Stop::Unusable { view, generation, .. } => {
                self.unusable.insert((*view, *generation));
                ("unusable_generation", Duration::ZERO)
            }
            loud if loud.is_loud() => ("corrupt", config.recheck_interval),
            Stop::Log(_) => ("log", RETRY_AFTER_MAX),
            _ => ("read_model", RETRY_AFTER_MAX),
        };
        if matches!(stop, Stop::Log(_)) {
            shared.background.give_up().await;
        }
        self.builds.not_before = Some(Instant::now() + wait);
        if kind == "conflict" {
            tracing::debug!(shard, "another projector builds");
            return;
        }
        shared.metrics.errors.get_or_create(&of_kind(kind)).inc();
        let is_loud = stop.is_loud();
        let error = format!("{:#}", anyhow::Error::new(stop));
        if !is_loud {
            tracing::warn!(shard, error, "building a generation fails; trying again");
            return;
        }
        shared.metrics.stopped.get_or_create(&of_shard(self.shard)).set(1);
        if shared.problems.report(&self.building(), Some(error.clone())).await {
            tracing::error!(shard, error, "building a generation stopped");
        }
    }

    fn building(&self) -> String {
        format!("shard {}, building", self.shard)
    }

    /// Waits for the bell, for another log, or for a time-out: a lost notification costs time and no event.
    async fn wait(&mut self, at_most: Duration) {
        tokio::select! {
            _ = self.rings.changed() => {}
            _ = self.identity.changed() => {}
            () = self.vetting.finished() => {}
            () = self.builds.wait() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    fn part(&self) -> String {
        Problems::of_shard(self.shard)
    }
}

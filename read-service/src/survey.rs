//! A look at the whole read model every second: for health, for metrics, and so that a refusal can say how far a rebuild is
//! without asking Redis anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger::{Position, Shard};
use read_model::{Error, LogRecord, Marker, Reader, View, ViewStatus};
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use crate::error::{Progress, StoreFault, with_cause};
use crate::horizon::Horizons;
use crate::metrics::Metrics;
use crate::store::{CurrentLog, within};

/// Time between two looks: what an orchestrator asks health about does not change faster.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at Redis and at every view.
pub(crate) struct Survey {
    reader: Reader,
    read_limit: Duration,
    log: Arc<CurrentLog>,
    horizons: Arc<Horizons>,
    health: Health,
    metrics: Metrics,
    /// As the last look found them.
    views: Mutex<Arc<Vec<ViewStatus>>>,
    keeping: Mutex<Keeping>,
}

/// Whether Redis keeps what it is given.
#[derive(Clone)]
enum Keeping {
    /// Not asked since it was last away. It is asked before the next answer is given.
    Unknown,
    Everything,
    /// It evicts by this policy, so a missing key proves nothing.
    NotEverything(Arc<str>),
}

impl Survey {
    pub(crate) fn new(
        reader: Reader,
        read_limit: Duration,
        log: Arc<CurrentLog>,
        horizons: Arc<Horizons>,
        health: Health,
        metrics: Metrics,
    ) -> Self {
        let (views, keeping) = (Mutex::default(), Mutex::new(Keeping::Unknown));
        Self { reader, read_limit, log, horizons, health, metrics, views, keeping }
    }

    /// Looks every second until `shutdown`.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            match self.look().await {
                Ok(()) => self.health.set_ready(true).await,
                Err(why) => self.health.set_not_ready(why).await,
            }
            let pause = tokio::time::sleep(PERIOD);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Refuses to ask a Redis that evicts.
    pub(crate) async fn require_keeping(&self) -> Result<(), StoreFault> {
        let keeping = self.keeping().clone();
        match keeping {
            Keeping::Everything => Ok(()),
            Keeping::Unknown => Box::pin(self.ask_keeping()).await,
            Keeping::NotEverything(policy) => Err(StoreFault::Evicting(policy)),
        }
    }

    /// How far a view has been built.
    pub(crate) fn progress(&self, view: View, shard: Option<Shard>) -> Progress {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_it = |status: &&ViewStatus| {
            status.view == view && shard.is_none_or(|shard| status.shard == shard)
        };
        let status = views.iter().find(is_it);
        progress_of(view, shard, status)
    }

    async fn ask_keeping(&self) -> Result<(), StoreFault> {
        let (keeping, outcome) = match within(self.read_limit, self.reader.check()).await {
            Ok(()) => (Keeping::Everything, Ok(())),
            Err(fault) => match policy_of(&fault) {
                Some(policy) => {
                    (Keeping::NotEverything(policy.clone()), Err(StoreFault::Evicting(policy)))
                }
                None => (Keeping::Unknown, Err(fault)),
            },
        };
        *self.keeping() = keeping;
        outcome
    }

    /// Looks once. An error says why calls cannot be served.
    async fn look(&self) -> Result<(), String> {
        let failed = |fault: StoreFault| format!("Redis: {}", with_cause(&fault));
        self.ask_keeping().await.map_err(failed)?;
        let log = self.log.refresh().await.map_err(failed)?;
        let Some(log) = log else { return Err("no projector has been here yet".to_owned()) };
        let status = self.reader.status(log.shards);
        let views = Arc::new(within(self.read_limit, status).await.map_err(failed)?);
        *self.views.lock().unwrap_or_else(PoisonError::into_inner) = views.clone();
        self.show(&views);
        match views.iter().find(|status| status.view == View::Accounts && !shows(status, &log)) {
            Some(status) => {
                Err(progress_of(status.view, Some(status.shard), Some(status)).to_string())
            }
            None => Ok(()),
        }
    }

    fn show(&self, views: &[ViewStatus]) {
        let now = Instant::now();
        for status in views {
            let marker = visible_marker(status);
            let staleness = marker.and_then(|marker| self.horizons.staleness(&marker, now));
            let lag = lag_events(status);
            self.metrics.set_view(status.view, status.shard.get(), staleness, lag);
        }
    }

    fn keeping(&self) -> MutexGuard<'_, Keeping> {
        // Nothing panics while holding it, and it is whole at any moment.
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which prefix of the log a view shows on a shard; `None` when it shows nothing.
pub(crate) fn visible_marker(status: &ViewStatus) -> Option<Marker> {
    let visible = status.visible?;
    Some(Marker {
        view: status.view,
        shard: status.shard,
        generation: visible.generation,
        checkpoint: visible.checkpoint?,
        head: status.head,
        redis_now_ms: status.redis_now_ms,
    })
}

/// Events between what a view shows and the head of the log as a projector last saw it.
pub(crate) fn lag_events(status: &ViewStatus) -> i64 {
    let head = status.head.map_or(Position::ZERO, |head| head.position);
    let shown = visible_marker(status).map_or(Position::ZERO, |m| m.checkpoint.position);
    head.get().saturating_sub(shown.get()).max(0)
}

fn shows(status: &ViewStatus, log: &LogRecord) -> bool {
    visible_marker(status).is_some_and(|marker| marker.checkpoint.log_id == log.log_id)
}

fn progress_of(view: View, shard: Option<Shard>, status: Option<&ViewStatus>) -> Progress {
    let building = status.and_then(|status| status.building?.checkpoint);
    Progress {
        view,
        shard,
        building: building.map(|checkpoint| checkpoint.position),
        head: status.and_then(|status| Some(status.head?.position)),
    }
}

fn policy_of(fault: &StoreFault) -> Option<Arc<str>> {
    match fault {
        StoreFault::Failed(error) => match &**error {
            Error::Evicting { policy } => Some(policy.as_str().into()),
            _ => None,
        },
        _ => None,
    }
}

//! Putting the parts together: each is a task with an owner that waits for it.

use std::sync::Arc;

use event_store::LogIdentity;
use prometheus_client::registry::Registry;
use read_model::{Reader, Writer};
use service_kit::{
    health::Health,
    metrics::{MetricsServer, registry},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bell,
    config::Config,
    error::RunError,
    head,
    janitor::{self, Errand},
    log::Log,
    metrics::Metrics,
    problems::Problems,
    shard::ShardProjector,
    sweep,
};

/// Errands that may wait. More would only be repetitions.
const ERRANDS_MAX: usize = 256;

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) problems: Problems,
    /// The connection on which the end of the log is followed.
    pub(crate) tail: Log,
    /// The connection for comparisons, so that they never hold up the tail.
    pub(crate) background: Log,
    pub(crate) writer: Writer,
    /// For generations that are built, on a connection of its own, so that what queries see does not queue behind it.
    pub(crate) builder: Writer,
    pub(crate) reader: Reader,
    /// Counts the rings of the bell.
    pub(crate) rings: watch::Sender<u64>,
    /// The log, while Redis is ours.
    pub(crate) identity: watch::Sender<Option<LogIdentity>>,
    pub(crate) errands: mpsc::Sender<Errand>,
}

/// Projects until `shutdown`. May be stopped at any moment, also by a `kill -9`: whatever was under way is
/// either stored with its checkpoint or was never there.
///
/// # Errors
/// [`RunError`] when the settings cannot work, when Redis throws keys away, or when a part ends by itself.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let health = Health::new(&[]).await;
    let server = MetricsServer::bind(config.metrics_addr).await?;
    tracing::info!(addr = %server.local_addr(), "metrics and health are served");
    let mut registry = registry();
    let (shared, errands) = share(config, &health, &mut registry)?;
    refuse_eviction(&shared).await?;

    let mut parts = JoinSet::new();
    let stop = shutdown.child_token();
    parts.spawn(server.serve(Arc::new(registry), health.clone(), stop.clone()));
    let mut part = |name: &'static str, work: futures::future::BoxFuture<'static, ()>| {
        let stop = stop.clone();
        parts.spawn(async move {
            if stop.run_until_cancelled(work).await.is_some() {
                tracing::error!(part = name, "a part of the projector ended by itself");
            }
        });
    };
    part("head", Box::pin(head::watch_head(shared.clone())));
    if shared.config.listen {
        part("bell", Box::pin(bell::listen(shared.clone())));
    }
    part("janitor", Box::pin(janitor::clear_away(shared.clone(), errands)));
    part("shards", Box::pin(project_shards(shared.clone())));
    part("sweep", Box::pin(sweep::sweep(shared.clone())));

    // One part stopping stops the process: half a projector lies.
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        if !shutdown.is_cancelled() && outcome.is_ok() {
            outcome = Err(RunError::PartEnded(
                ended.map_or_else(|e| e.to_string(), |()| "by itself".into()),
            ));
        }
        health.close().await;
        stop.cancel();
    }
    outcome
}

/// What all parts share, and the errands that they will give.
fn share(
    config: Config,
    health: &Health,
    registry: &mut Registry,
) -> Result<(Arc<Shared>, mpsc::Receiver<Errand>), read_model::Error> {
    let store = config.store();
    let (errands, given) = mpsc::channel(ERRANDS_MAX);
    let database_url = config.database.database_url.clone();
    let shared = Shared {
        metrics: Metrics::register(registry),
        problems: Problems::new(health.clone()),
        tail: Log::new(database_url.clone(), "counterfoil-projector/tail"),
        background: Log::new(database_url, "counterfoil-projector/sweep"),
        reader: Reader::new(&store)?,
        writer: Writer::new(&store)?,
        builder: Writer::new(&store)?,
        rings: watch::Sender::new(0),
        identity: watch::Sender::new(None),
        errands,
        config,
    };
    Ok((Arc::new(shared), given))
}

/// A Redis that answers must keep what it is given; one that does not answer yet is asked again with every look
/// at the log.
async fn refuse_eviction(shared: &Shared) -> Result<(), RunError> {
    match shared.writer.check().await {
        Err(error @ read_model::Error::Evicting { .. }) => Err(error.into()),
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "Redis cannot be asked for its settings yet"
            );
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Projects every shard, as soon as it is known how many there are. That number is for life.
async fn project_shards(shared: Arc<Shared>) {
    let mut identity = shared.identity.subscribe();
    let known = identity.wait_for(Option::is_some).await.map(|identity| *identity);
    let Ok(Some(identity)) = known else { return };
    _ = shared.errands.try_send(Errand::Orphans);
    let mut shards = JoinSet::new();
    for shard in identity.shards.shards() {
        shards.spawn(ShardProjector::new(shared.clone(), shard).run());
    }
    // None ever ends by itself, so one that does has panicked; the process ends with it.
    if let Some(Err(error)) = shards.join_next().await {
        tracing::error!(error = %error, "a shard's projector ended");
    }
}

/// For tests that kill a projector between any two steps.
#[doc(hidden)]
pub mod testing {
    use futures::future::{join, join_all};

    use super::*;

    /// Projects as one future without tasks of its own, so that whoever polls it decides where it ends.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run_as_one(config: Config) -> Result<(), RunError> {
        let health = Health::new(&[]).await;
        let (shared, errands) = share(config, &health, &mut registry())?;
        refuse_eviction(&shared).await?;
        let project = async {
            let mut identity = shared.identity.subscribe();
            let known = identity.wait_for(Option::is_some).await.map(|identity| *identity);
            let Ok(Some(identity)) = known else { return };
            let shards = identity.shards.shards();
            join_all(shards.map(|shard| ShardProjector::new(shared.clone(), shard).run())).await;
        };
        let beside =
            join(head::watch_head(shared.clone()), janitor::clear_away(shared.clone(), errands));
        join(project, beside).await;
        Ok(())
    }
}

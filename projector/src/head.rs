//! Looking at the end of the log, again and again: which log it is, how far it goes, and when it was seen to go
//! no further.
//!
//! Lag and staleness mean something on an idle log only because of this. It is also the one place where this
//! projector says for which log it speaks; the shards are projected only while Redis is ours.

use std::{collections::HashMap, sync::Arc, time::Duration};

use event_store::{Head, LogIdentity};
use futures::future::try_join_all;
use ledger::{LogId, Position, Shard};
use read_model::{HeadStamp, LogRecord, View, ViewStatus};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    Shared,
    error::Stop,
    lag::Lag,
    metrics::{Metrics, of_kind, of_view},
    problems::Problems,
};

/// How often Redis is asked whether it still keeps what it is given: somebody may change its settings, or fail over.
const POLICY_INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the end of the log for ever.
pub(crate) async fn watch_head(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.config.head_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut policy_checked: Option<Instant> = None;
    let mut lags = Lags { metrics: shared.metrics.clone(), of_views: HashMap::new() };
    loop {
        ticks.tick().await;
        let mut outcome = Ok(());
        if policy_checked.is_none_or(|at| at.elapsed() >= POLICY_INTERVAL) {
            outcome = shared.writer.check().await.map_err(Stop::from);
            policy_checked = Some(Instant::now());
        }
        if outcome.is_ok() {
            outcome = look(&shared, &mut lags).await;
        }
        if outcome.is_err() {
            lags.show_growing();
            policy_checked = None; // perhaps that is why, and it says so more clearly
        }
        report(&shared, outcome).await;
    }
}

async fn report(shared: &Shared, outcome: Result<(), Stop>) {
    let Err(stop) = outcome else {
        if shared.problems.report(Problems::HEAD, None).await {
            tracing::info!("the log and the read model can be reached");
        }
        return;
    };
    match &stop {
        Stop::OtherLog { .. } => _ = shared.identity.send_replace(None),
        Stop::Log(_) => shared.tail.give_up().await,
        _ => {}
    }
    shared.metrics.errors.get_or_create(&of_kind("head")).inc();
    let error = anyhow::Error::new(stop);
    if shared.problems.report(Problems::HEAD, Some(format!("{error:#}"))).await {
        tracing::error!(error = format!("{error:#}"), "looking at the log fails");
    }
}

async fn look(shared: &Shared, lags: &mut Lags) -> Result<(), Stop> {
    // Before the log is asked: a view that includes the head that is found had all of the log at this time.
    let seen_at = Instant::now();
    let seen_at_ms = shared.writer.now_ms().await?;
    let log = shared.tail.reader().await?;
    let (identity, is_standby) = futures::try_join!(log.identity(), log.is_standby())?;
    let heads = identity.shards.shards().map(|shard| {
        let log = &log;
        async move {
            let head = log.head(shard).await?;
            Ok::<_, Stop>((shard, head.unwrap_or_else(|| identity.empty_head(shard))))
        }
    });
    let heads: Vec<(Shard, Head)> = try_join_all(heads).await?;
    shared.writer.claim(&record(&identity)).await?;
    shared.identity.send_if_modified(|known| {
        let is_news = known.as_ref() != Some(&identity);
        if is_news {
            tracing::info!(
                log.id = %identity.log_id,
                log.incarnation = identity.incarnation,
                shards = identity.shards.get(),
                "projecting a log"
            );
        }
        *known = Some(identity);
        is_news
    });
    // A copy of the log may lag behind it; its end proves nothing.
    if !is_standby {
        let mut stamps = Vec::with_capacity(heads.len());
        for (shard, head) in &heads {
            // What was projected of a shard that is stopped may be another history than the log's, and as long: how far the log goes is
            // told all the same, but not that anything has had all of it.
            let seen_at_ms = match shared.problems.is_well(&Problems::of_shard(*shard)).await {
                None => continue,
                Some(true) => seen_at_ms,
                Some(false) => HeadStamp::NOTHING_KNOWN_COMPLETE,
            };
            let stamp = HeadStamp {
                log_id: identity.log_id,
                position: head.link.position,
                recorded_at: head.recorded_at,
                seen_at_ms,
            };
            stamps.push((*shard, stamp));
        }
        if !stamps.is_empty() {
            shared.writer.stamp_heads(&stamps).await?;
        }
    }
    for status in shared.reader.status(identity.shards).await? {
        if let Some((_, head)) = heads.iter().find(|(shard, _)| *shard == status.shard) {
            lags.measure(&status, identity.log_id, (seen_at, head.link.position));
        }
    }
    Ok(())
}

fn record(identity: &LogIdentity) -> LogRecord {
    LogRecord {
        log_id: identity.log_id,
        first_log_id: identity.first_log_id,
        incarnation: identity.incarnation,
        shards: identity.shards,
        renewed_at_ms: 0, // the script's to say
    }
}

/// How far each view is behind, as metrics show it.
struct Lags {
    metrics: Metrics,
    of_views: HashMap<(View, Shard), Lag>,
}

impl Lags {
    fn measure(&mut self, status: &ViewStatus, log_id: LogId, seen_head: (Instant, Position)) {
        let (seen_at, head) = seen_head;
        let checkpoint = status.visible.and_then(|visible| visible.checkpoint);
        // What is included of another log, or in no visible generation, is nothing to those who ask for this one.
        let checkpoint = checkpoint.filter(|checkpoint| checkpoint.log_id == log_id);
        let included = checkpoint.map_or(Position::ZERO, |checkpoint| checkpoint.position);
        let label = of_view(status.view, status.shard);
        self.metrics.position.get_or_create(&label).set(included.get());
        let behind = head.get().saturating_sub(included.get()).max(0);
        self.metrics.lag_events.get_or_create(&label).set(behind);
        let key = (status.view, status.shard);
        let lag = self.of_views.entry(key).or_insert_with(|| Lag::counted_from(seen_at));
        lag.note(seen_head, included);
        self.metrics.lag_seconds.get_or_create(&label).set(lag.at(seen_at).as_secs_f64());
    }

    /// While nothing can be seen, nothing is known to be complete.
    fn show_growing(&self) {
        let now = Instant::now();
        for ((view, shard), lag) in &self.of_views {
            let seconds = lag.at(now).as_secs_f64();
            self.metrics.lag_seconds.get_or_create(&of_view(*view, *shard)).set(seconds);
        }
    }
}

//! What operators see of the write side.

use std::sync::Arc;

use event_store::AppendError;
use ledger::{Position, Shard};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use service_kit::metrics::{batch_histogram, latency_histogram};

/// Which command, and how it ended: `applied`, `replayed`, or the reason of the error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CommandLabels {
    pub(crate) command: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ShardLabel {
    shard: i16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabel {
    kind: &'static str,
}

/// All metrics of the write-service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) commands: Family<CommandLabels, Counter>,
    pub(crate) command_seconds: Histogram,
    pub(crate) append_seconds: Histogram,
    batch_commands: Histogram,
    append_failures: Family<FailureLabel, Counter>,
    head_position: Family<ShardLabel, Gauge>,
    pub(crate) replays: Counter,
    pub(crate) lost_races: Counter,
    pub(crate) loads: Counter,
    pub(crate) lookups: Counter,
    pub(crate) notify_failures: Counter,
    accounts_in_memory: Gauge,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commands: Family::default(),
            command_seconds: latency_histogram(),
            append_seconds: latency_histogram(),
            batch_commands: batch_histogram(),
            append_failures: Family::default(),
            head_position: Family::default(),
            replays: Counter::default(),
            lost_races: Counter::default(),
            loads: Counter::default(),
            lookups: Counter::default(),
            notify_failures: Counter::default(),
            accounts_in_memory: Gauge::default(),
        };
        registry.register("commands", "Commands by kind and outcome", metrics.commands.clone());
        registry.register(
            "command_seconds",
            "From arrival to answer",
            metrics.command_seconds.clone(),
        );
        registry.register(
            "append_seconds",
            "One append, sent to stored",
            metrics.append_seconds.clone(),
        );
        registry.register("batch_commands", "Commands per append", metrics.batch_commands.clone());
        registry.register(
            "append_failures",
            "Appends not stored, by kind",
            metrics.append_failures.clone(),
        );
        registry.register(
            "head_position",
            "Last position known to be stored",
            metrics.head_position.clone(),
        );
        registry.register("replays", "Commands answered from the log", metrics.replays.clone());
        registry.register(
            "lost_races",
            "Times another instance was found to have written",
            metrics.lost_races.clone(),
        );
        registry.register(
            "loads",
            "Loads of accounts that were not in memory",
            metrics.loads.clone(),
        );
        registry.register("lookups", "Looks for request ids", metrics.lookups.clone());
        registry.register(
            "notify_failures",
            "Notifications that failed",
            metrics.notify_failures.clone(),
        );
        registry.register(
            "accounts_in_memory",
            "Accounts in memory",
            metrics.accounts_in_memory.clone(),
        );
        metrics
    }

    pub(crate) fn accounts_in_memory(&self, accounts: usize) {
        self.accounts_in_memory.set(i64::try_from(accounts).unwrap_or(i64::MAX));
    }

    #[allow(clippy::cast_precision_loss, reason = "a batch holds far fewer than 2^52 commands")]
    pub(crate) fn batch_sent(&self, commands: usize) {
        self.batch_commands.observe(commands as f64);
    }

    pub(crate) fn head(&self, shard: Shard, position: Position) {
        self.head_position.get_or_create(&ShardLabel { shard: shard.get() }).set(position.get());
    }

    pub(crate) fn append_failed(&self, error: &AppendError) {
        let kind = match error {
            AppendError::HeadMoved => "head_moved",
            AppendError::RequestIdTaken => "request_id_taken",
            AppendError::LogChanged => "log_changed",
            AppendError::HeadBusy => "head_busy",
            AppendError::Contradiction(_) => "contradiction",
            AppendError::Storage(_) => "storage",
            AppendError::Silent | AppendError::Unknown(_) => "unknown",
        };
        self.append_failures.get_or_create(&FailureLabel { kind }).inc();
    }
}

/// A registry with everything in it.
pub(crate) fn registry() -> (Arc<Registry>, Metrics) {
    let mut registry = service_kit::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    (Arc::new(registry), metrics)
}

//! What the projector counts and measures.

use std::sync::atomic::AtomicU64;

use ledger::Shard;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use read_model::View;
use service_kit::metrics::{batch_histogram, latency_histogram};

/// One view on one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfView {
    view: &'static str,
    shard: i16,
}

/// One kind of something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfKind {
    kind: &'static str,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfShard {
    shard: i16,
}

pub(crate) fn of_view(view: View, shard: Shard) -> OfView {
    OfView { view: view.name(), shard: shard.get() }
}

pub(crate) fn of_kind(kind: &'static str) -> OfKind {
    OfKind { kind }
}

pub(crate) fn of_shard(shard: Shard) -> OfShard {
    OfShard { shard: shard.get() }
}

/// All of them. Cheap to clone: every clone counts into the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) lag_events: Family<OfView, Gauge>,
    pub(crate) lag_seconds: Family<OfView, Gauge<f64, AtomicU64>>,
    pub(crate) position: Family<OfView, Gauge>,
    pub(crate) pages: Family<OfView, Counter>,
    pub(crate) strides: Family<OfView, Counter>,
    pub(crate) page_events: Histogram,
    pub(crate) events: Family<OfShard, Counter>,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_conflicts: Family<OfView, Counter>,
    pub(crate) generations_begun: Family<OfView, Counter>,
    pub(crate) generations_swapped: Family<OfView, Counter>,
    pub(crate) generation_differences: Family<OfView, Counter>,
    pub(crate) stopped: Family<OfShard, Gauge>,
    pub(crate) errors: Family<OfKind, Counter>,
    pub(crate) sweep_checked: Family<OfView, Counter>,
    pub(crate) sweep_mismatches: Family<OfView, Counter>,
    pub(crate) sweep_repaired: Family<OfView, Counter>,
    pub(crate) sweep_passes: Counter,
}

impl Metrics {
    /// Makes them and shows them; `counterfoil_` is put before every name, `_total` behind every counter's.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            lag_events: Family::default(),
            lag_seconds: Family::default(),
            position: Family::default(),
            pages: Family::default(),
            strides: Family::default(),
            page_events: batch_histogram(),
            events: Family::default(),
            commit_seconds: latency_histogram(),
            commit_conflicts: Family::default(),
            generations_begun: Family::default(),
            generations_swapped: Family::default(),
            generation_differences: Family::default(),
            stopped: Family::default(),
            errors: Family::default(),
            sweep_checked: Family::default(),
            sweep_mismatches: Family::default(),
            sweep_repaired: Family::default(),
            sweep_passes: Counter::default(),
        };
        metrics.show_projection(registry);
        metrics.show_generations(registry);
        metrics.show_sweep(registry);
        metrics
    }

    fn show_projection(&self, registry: &mut Registry) {
        let help = "Events of the log that the visible generation lacks";
        registry.register("lag_events", help, self.lag_events.clone());
        let help = "How long ago the visible generation is known to have had all of the log";
        registry.register("lag_seconds", help, self.lag_seconds.clone());
        let help = "Last position that the visible generation includes";
        registry.register("projected_position", help, self.position.clone());
        registry.register("projected_pages", "Pages stored", self.pages.clone());
        let help = "Strides stored in generations that are built";
        registry.register("stored_strides", help, self.strides.clone());
        registry.register("projected_events", "Events read and folded", self.events.clone());
        registry.register("page_events", "Events per page read", self.page_events.clone());
        registry.register("commit_seconds", "Time to store one page", self.commit_seconds.clone());
        let help = "Pages refused because the checkpoint was another one";
        registry.register("commit_conflicts", help, self.commit_conflicts.clone());
        let help =
            "1 while a shard is not projected because its log contradicts itself or its checkpoint";
        registry.register("projection_stopped", help, self.stopped.clone());
        registry.register("projector_errors", "Failures by kind", self.errors.clone());
    }

    fn show_generations(&self, registry: &mut Registry) {
        registry.register("generations_begun", "Generations begun", self.generations_begun.clone());
        let help = "Generations that became visible";
        registry.register("generations_swapped", help, self.generations_swapped.clone());
        let help = "Keys in which a new generation differed from the visible one";
        registry.register("generation_differences", help, self.generation_differences.clone());
    }

    fn show_sweep(&self, registry: &mut Registry) {
        registry.register(
            "sweep_checked",
            "Values compared with the log",
            self.sweep_checked.clone(),
        );
        let help = "Values that differed from the log";
        registry.register("sweep_mismatches", help, self.sweep_mismatches.clone());
        registry.register("sweep_repaired", "Values put right", self.sweep_repaired.clone());
        let help = "Complete comparisons of the read model with the log";
        registry.register("sweep_passes", help, self.sweep_passes.clone());
    }
}

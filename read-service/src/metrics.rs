//! What this server counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use read_model::View;
use service_kit::metrics::{batch_histogram, latency_histogram, registry};

/// The rpcs, as metrics and logs name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Method {
    GetAccount,
    GetBalance,
    BatchGetBalances,
    ListAccounts,
    GetTransaction,
    GetLatestTransaction,
    ListTransactions,
    GetTotals,
    GetReadModelStatus,
}

/// How a wait for a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum WaitOutcome {
    Reached,
    TimedOut,
    Refused,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadLabels {
    method: Method,
    code: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: Method,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: WaitOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViewLabels {
    view: &'static str,
    shard: i16,
}

/// Handles to everything that is counted; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    reads: Family<ReadLabels, Counter>,
    read_seconds: Family<MethodLabel, Histogram, fn() -> Histogram>,
    round_trip_calls: Histogram,
    waits: Family<OutcomeLabel, Counter>,
    waiters: Gauge,
    staleness: Family<ViewLabels, Gauge<f64, AtomicU64>>,
    lag_events: Family<ViewLabels, Gauge>,
}

impl Metrics {
    /// Everything at zero, and the registry that shows it.
    pub(crate) fn new() -> (Self, Arc<Registry>) {
        let metrics = Self {
            reads: Family::default(),
            read_seconds: Family::new_with_constructor(latency_histogram),
            round_trip_calls: batch_histogram(),
            waits: Family::default(),
            waiters: Gauge::default(),
            staleness: Family::default(),
            lag_events: Family::default(),
        };
        let mut registry = registry();
        let all = metrics.clone();
        registry.register("reads", "Queries answered, by method, code and reason", all.reads);
        registry.register("read_seconds", "Time from a query to its answer", all.read_seconds);
        let help = "Calls that shared one round trip to Redis";
        registry.register("read_round_trip_calls", help, all.round_trip_calls);
        registry.register("read_waits", "Waits for a consistency token, by their end", all.waits);
        registry.register("read_waiters", "Calls waiting for a token now", all.waiters);
        let help = "How long ago a view is known to have had all of the log; -1 if unknown";
        registry.register("read_staleness_seconds", help, all.staleness);
        let help = "Events between a view and the head of the log as a projector last saw it";
        registry.register("read_lag_events", help, all.lag_events);
        (metrics, Arc::new(registry))
    }

    fn observe_read(
        &self,
        method: Method,
        code: &'static str,
        reason: &'static str,
        time: Duration,
    ) {
        self.reads.get_or_create(&ReadLabels { method, code, reason }).inc();
        self.read_seconds.get_or_create(&MethodLabel { method }).observe(time.as_secs_f64());
    }

    pub(crate) fn observe_round_trip(&self, calls: usize) {
        // Far below 2^52, so nothing is lost.
        #[allow(clippy::cast_precision_loss, reason = "a batch has few calls")]
        self.round_trip_calls.observe(calls as f64);
    }

    pub(crate) fn count_wait(&self, outcome: WaitOutcome) {
        self.waits.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts one waiting call until the guard is dropped.
    pub(crate) fn waiting(&self) -> impl Drop + use<> {
        self.waiters.inc();
        Waiting(self.waiters.clone())
    }

    pub(crate) fn set_view(
        &self,
        view: View,
        shard: i16,
        staleness: Option<Duration>,
        lag_events: i64,
    ) {
        let labels = ViewLabels { view: view.name(), shard };
        let seconds = staleness.map_or(-1.0, |staleness| staleness.as_secs_f64());
        self.staleness.get_or_create(&labels).set(seconds);
        self.lag_events.get_or_create(&labels).set(lag_events);
    }
}

struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One call. Dropped before it ended, it was given up: its client went away, or its deadline came first.
pub(crate) struct Observed<'a> {
    metrics: &'a Metrics,
    method: Method,
    began: Instant,
    outcome: (&'static str, &'static str),
}

impl<'a> Observed<'a> {
    pub(crate) fn begin(metrics: &'a Metrics, method: Method) -> Self {
        Self { metrics, method, began: Instant::now(), outcome: ("CANCELLED", "") }
    }

    pub(crate) fn ended(mut self, code: &'static str, reason: &'static str) {
        self.outcome = (code, reason);
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        let (code, reason) = self.outcome;
        self.metrics.observe_read(self.method, code, reason, self.began.elapsed());
    }
}

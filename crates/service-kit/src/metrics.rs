//! Metrics in OpenMetrics text, and the HTTP port that shows them.

mod server;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use server::MetricsServer;

/// First word of every metric's name.
const PREFIX: &str = "counterfoil";

/// Upper bounds for durations, in seconds: from a cache hit to a call that has long been given up.
pub const LATENCY_SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Upper bounds for how many items were handled at once.
pub const BATCH_SIZES: [f64; 11] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// An empty registry: `append_seconds` becomes `counterfoil_append_seconds`. The unit belongs into
/// the name as registered; counters get `_total` by themselves.
#[must_use]
pub fn registry() -> Registry {
    Registry::with_prefix(PREFIX)
}

/// A histogram of durations in seconds.
#[must_use]
pub fn latency_histogram() -> Histogram {
    Histogram::new(LATENCY_SECONDS)
}

/// A histogram of batch sizes.
#[must_use]
pub fn batch_histogram() -> Histogram {
    Histogram::new(BATCH_SIZES)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn bounds_grow() {
        assert!(LATENCY_SECONDS.is_sorted() && BATCH_SIZES.is_sorted());
        assert_eq!((LATENCY_SECONDS[0], LATENCY_SECONDS[15]), (0.0001, 10.0));
        assert_eq!((BATCH_SIZES[0], BATCH_SIZES[10]), (1.0, 1024.0));
    }

    #[test]
    fn names_begin_with_counterfoil_and_end_with_the_unit() {
        let mut registry = registry();
        let histogram = latency_histogram();
        registry.register("append_seconds", "Time of one append", histogram.clone());
        histogram.observe(0.0007);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("counterfoil_append_seconds_bucket{le=\"0.001\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

//! Writing latencies down.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::job::Latency;

/// Three digits are more than a run repeats.
const DIGITS: u8 = 3;
/// A call that takes longer is as bad as one that takes this long.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Percentiles that a picture shows.
const CURVE: [f64; 16] = [
    1.0, 10.0, 25.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99,
];

/// From when to when everything is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl Window {
    pub(super) fn after(now: Instant, warm_up: Duration, time: Duration) -> Self {
        Self { begin: now + warm_up, end: now + warm_up + time }
    }

    fn includes(&self, moment: Instant) -> bool {
        (self.begin..self.end).contains(&moment)
    }

    /// In which second of it a moment lies.
    pub(super) fn second_of(&self, moment: Instant) -> Option<usize> {
        let second = moment.checked_duration_since(self.begin)?.as_secs();
        usize::try_from(second).ok().filter(|_| moment < self.end)
    }
}

/// What all callers of a run write to.
#[derive(Clone)]
pub(super) struct Recorder {
    window: Window,
    recorded: Arc<Mutex<Recorded>>,
}

/// What was written.
pub(super) struct Recorded {
    pub(super) operations: u64,
    pub(super) operations_in_all: u64,
    histogram: Latencies,
    seconds: Vec<Latencies>,
}

impl Recorder {
    pub(super) fn new(window: Window) -> Self {
        let recorded = Recorded {
            operations: 0,
            operations_in_all: 0,
            histogram: Latencies::new(),
            seconds: Vec::new(),
        };
        Self { window, recorded: Arc::new(Mutex::new(recorded)) }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// A call that began at `begun` was answered at `answered`.
    pub(super) fn answered(&self, begun: Instant, answered: Instant, operations: u64) {
        self.record(answered, begun, answered, operations);
    }

    /// A call that should have begun at `intended` was answered at `answered`. Its latency counts however late that is: a
    /// stall at the end would not be seen otherwise.
    pub(super) fn answered_in_the_end(
        &self,
        intended: Instant,
        answered: Instant,
        operations: u64,
    ) {
        self.record(intended, intended, answered, operations);
    }

    fn record(&self, counted_at: Instant, begun: Instant, answered: Instant, operations: u64) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.operations_in_all += operations;
        if self.window.includes(answered) {
            recorded.operations += operations;
        }
        if !self.window.includes(counted_at) {
            return;
        }
        let latency = answered.saturating_duration_since(begun);
        recorded.histogram.record(latency);
        if let Some(second) = self.window.second_of(counted_at) {
            if recorded.seconds.len() <= second {
                recorded.seconds.resize_with(second + 1, Latencies::coarse);
            }
            recorded.seconds[second].record(latency);
        }
    }

    /// Counts a call that was answered after everything was counted.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Recorded) -> T) -> T {
        read(&self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recorded {
    pub(super) fn latency(&self) -> Latency {
        self.histogram.summary()
    }

    /// Median and 99th percentile of each second.
    pub(super) fn by_second(&self) -> Vec<(f64, f64)> {
        self.seconds.iter().map(|second| (second.at(50.0), second.at(99.0))).collect()
    }
}

/// Latencies, in nanoseconds inside and in milliseconds outside.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self::with_digits(DIGITS)
    }

    /// For many of them.
    pub(super) fn coarse() -> Self {
        Self::with_digits(2)
    }

    #[allow(clippy::expect_used, reason = "the bounds are constants that fit")]
    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), digits).expect("fixed bounds"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanoseconds(latency));
    }

    pub(super) fn at(&self, percentile: f64) -> f64 {
        milliseconds(self.0.value_at_percentile(percentile))
    }

    pub(super) fn summary(&self) -> Latency {
        Latency {
            p50: self.at(50.0),
            p90: self.at(90.0),
            p99: self.at(99.0),
            p999: self.at(99.9),
            max: milliseconds(self.0.max()),
            curve: CURVE.map(|percentile| (percentile, self.at(percentile))).to_vec(),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "three digits are kept")]
fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        for millisecond in 1..=100 {
            latencies.record(Duration::from_millis(millisecond));
        }
        let summary = latencies.summary();
        for (is, should_be) in
            [(summary.p50, 50.0), (summary.p90, 90.0), (summary.p99, 99.0), (summary.max, 100.0)]
        {
            assert!((is / should_be - 1.0).abs() < 0.002, "{is} {should_be}");
        }
    }

    #[test]
    fn only_what_is_answered_inside_the_window_counts() {
        let now = Instant::now();
        let millis = Duration::from_millis;
        let recorder = Recorder::new(Window::after(now, millis(100), millis(1000)));
        recorder.answered(now, now + millis(50), 1); // warm-up
        recorder.answered(now + millis(90), now + millis(110), 1);
        recorder.answered(now + millis(1000), now + millis(1099), 3);
        recorder.answered(now + millis(1000), now + millis(1100), 1); // too late
        recorder.with(|recorded| {
            assert_eq!((recorded.operations, recorded.operations_in_all), (4, 6));
            assert!((recorded.latency().max / 99.0 - 1.0).abs() < 0.002);
            assert_eq!(recorded.by_second().len(), 1);
        });
    }

    #[test]
    fn what_was_due_inside_the_window_is_late_however_late_it_is_answered() {
        let now = Instant::now();
        let millis = Duration::from_millis;
        let recorder = Recorder::new(Window::after(now, millis(0), millis(1000)));
        recorder.answered_in_the_end(now + millis(900), now + millis(1400), 1);
        recorder.answered_in_the_end(now + millis(1000), now + millis(1001), 1); // due too late
        recorder.with(|recorded| {
            assert_eq!((recorded.operations, recorded.operations_in_all), (0, 2));
            assert!((recorded.latency().max / 500.0 - 1.0).abs() < 0.002);
        });
    }
}

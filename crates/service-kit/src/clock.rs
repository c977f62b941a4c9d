//! The wall clock, behind one type, so that a test can set it wrong.
//!
//! Order in the log never rests on it: positions do that. It stamps what people read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time of day; the only caller of [`SystemTime::now`] in the workspace.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None` in production: no shared word is read there.
    offset_ms: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { offset_ms: None }
    }

    /// A clock that [`Clock::shift`] moves, for tests; its clones move with it.
    #[must_use]
    pub fn shifted() -> Self {
        Self { offset_ms: Some(Arc::default()) }
    }

    /// Moves a shifted clock by so many milliseconds, backwards if negative. The system's clock
    /// stays where it is.
    pub fn shift(&self, by_ms: i64) {
        if let Some(offset_ms) = &self.offset_ms {
            offset_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// The time now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> SystemTime {
        let system = SystemTime::now();
        let Some(offset_ms) = &self.offset_ms else {
            return system;
        };
        let offset_ms = offset_ms.load(Ordering::Relaxed);
        let distance = Duration::from_millis(offset_ms.unsigned_abs());
        let shifted =
            if offset_ms < 0 { system.checked_sub(distance) } else { system.checked_add(distance) };
        shifted.unwrap_or(system)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, negative before it.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        self.unix_us().div_euclid(1_000)
    }

    /// Microseconds since 1970-01-01T00:00:00Z, negative before it: Postgres' resolution.
    #[must_use]
    pub fn unix_us(&self) -> i64 {
        match self.now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    #[test]
    fn a_shifted_clock_moves_both_ways_and_its_clones_follow() {
        let system = Clock::system();
        let clock = Clock::shifted();
        let clone = clock.clone();

        clock.shift(DAY_MS);
        assert!(clone.unix_ms() - system.unix_ms() > DAY_MS - 60_000);
        clock.shift(-2 * DAY_MS);
        assert!(clone.unix_ms() - system.unix_ms() < -DAY_MS + 60_000);
    }

    #[test]
    fn the_system_clock_cannot_be_shifted() {
        let clock = Clock::system();
        clock.shift(DAY_MS);
        assert!(clock.unix_ms() - Clock::system().unix_ms() < 60_000);
    }

    #[test]
    fn a_time_before_1970_is_negative() {
        let clock = Clock::shifted();
        clock.shift(-100 * 366 * DAY_MS);
        assert!(clock.unix_us() < 0);
    }
}

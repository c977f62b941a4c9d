//! One line of the log per kind of failure and second, and not a flood of them when all calls fail alike.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures for one reason get one line per period; the next line says how many went without.
const PERIOD: Duration = Duration::from_secs(1);

/// Says which failures are told of.
#[derive(Debug, Default)]
pub struct LogLimit {
    reasons: Mutex<HashMap<&'static str, Window>>,
}

/// One reason's failures since its last line.
#[derive(Debug)]
struct Window {
    told_at: Instant,
    untold: u64,
}

impl LogLimit {
    /// How many failures like this one went untold, if this one is to be told of.
    pub fn turn(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        match reasons.get_mut(reason) {
            Some(window) if now.saturating_duration_since(window.told_at) < PERIOD => {
                window.untold += 1;
                None
            }
            Some(window) => {
                let untold = window.untold;
                *window = Window { told_at: now, untold: 0 };
                Some(untold)
            }
            None => {
                reasons.insert(reason, Window { told_at: now, untold: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_gets_one_line_per_period_and_the_next_line_counts_the_others() {
        let log = LogLimit::default();
        let now = Instant::now();
        assert_eq!(log.turn("OVERLOADED", now), Some(0));
        assert_eq!(log.turn("OVERLOADED", now), None);
        assert_eq!(log.turn("OVERLOADED", now + PERIOD / 2), None);
        assert_eq!(log.turn("READ_MODEL_LAGGING", now), Some(0));
        assert_eq!(log.turn("OVERLOADED", now + PERIOD), Some(2));
        assert_eq!(log.turn("OVERLOADED", now + PERIOD), None);
    }
}

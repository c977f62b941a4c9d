//! One line of the log per failure, and not a flood of them when all calls fail alike.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::error::{QueryError, with_cause};
use crate::metrics::Method;

/// Failures for one reason get one line per period; the next line says how many went without.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells of failed calls.
#[derive(Default)]
pub(super) struct FailureLog {
    reasons: Mutex<HashMap<&'static str, Window>>,
}

/// One reason's failures since its last line.
struct Window {
    told_at: Instant,
    untold: u64,
}

impl FailureLog {
    /// Tells of a failure, unless one like it was told of a moment ago.
    pub(super) fn tell(
        &self,
        method: Method,
        error: &QueryError,
        reason: &'static str,
        now: Instant,
    ) {
        let Some(untold) = self.turn(reason, now) else { return };
        let cause = with_cause(error);
        match blame(error) {
            Blame::Caller => debug!(?method, reason, untold, error = %cause, "query refused"),
            Blame::Weather => info!(?method, reason, untold, error = %cause, "query put off"),
            Blame::Us => warn!(?method, reason, untold, error = %cause, "query failed"),
        }
    }

    /// How many failures like this one went untold, if this one is to be told of.
    fn turn(&self, reason: &'static str, now: Instant) -> Option<u64> {
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

/// Who has to do something about a failure.
enum Blame {
    Caller,
    /// It passes by itself.
    Weather,
    Us,
}

fn blame(error: &QueryError) -> Blame {
    match error {
        QueryError::Invalid(_)
        | QueryError::AccountNotFound { .. }
        | QueryError::TransactionNotFound { .. }
        | QueryError::HistoryNotKept { .. }
        | QueryError::LogChanged { .. } => Blame::Caller,
        QueryError::Lagging { .. } | QueryError::Stale { .. } | QueryError::ShuttingDown => {
            Blame::Weather
        }
        QueryError::Rebuilding(_)
        | QueryError::Inconsistent(_)
        | QueryError::StoreUnavailable(_)
        | QueryError::Overloaded(_) => Blame::Us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_gets_one_line_per_period_and_the_next_line_counts_the_others() {
        let log = FailureLog::default();
        let now = Instant::now();
        assert_eq!(log.turn("OVERLOADED", now), Some(0));
        assert_eq!(log.turn("OVERLOADED", now), None);
        assert_eq!(log.turn("OVERLOADED", now + PERIOD / 2), None);
        assert_eq!(log.turn("READ_MODEL_LAGGING", now), Some(0));
        assert_eq!(log.turn("OVERLOADED", now + PERIOD), Some(2));
        assert_eq!(log.turn("OVERLOADED", now + PERIOD), None);
    }
}

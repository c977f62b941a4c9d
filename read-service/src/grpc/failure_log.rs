//! One line of the log per failure, and not a flood of them when all calls fail alike.

use std::time::Instant;

use service_kit::log_limit::LogLimit;
use tracing::{debug, info, warn};

use crate::error::{QueryError, with_cause};
use crate::metrics::Method;

/// Tells of failed calls.
#[derive(Default)]
pub(super) struct FailureLog(LogLimit);

impl FailureLog {
    /// Tells of a failure, unless one like it was told of a moment ago.
    pub(super) fn tell(
        &self,
        rpc: Method,
        error: &QueryError,
        outcome: &'static str,
        now: Instant,
    ) {
        let Some(untold) = self.0.turn(outcome, now) else { return };
        let cause = with_cause(error);
        match blame(error) {
            Blame::Caller => debug!(?rpc, outcome, untold, error = %cause, "query refused"),
            Blame::Weather => info!(?rpc, outcome, untold, error = %cause, "query put off"),
            Blame::Us => warn!(?rpc, outcome, untold, error = %cause, "query failed"),
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
        | QueryError::AccessDenied
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

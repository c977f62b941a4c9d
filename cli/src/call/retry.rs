//! Sending a command until its outcome is known.
//!
//! The request id stays the same, so a command that was applied although its answer got lost is not applied again: the
//! repetition gets the stored outcome.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::failure::Refusal;

/// First pause before a repetition; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: a service that comes back is noticed soon after.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first attempt until no other is begun.
    pub(crate) total: Duration,
    /// How long one attempt may take.
    pub(crate) attempt: Duration,
}

/// A command without an answer that it was applied.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// Decided: it did nothing.
    Refused(Refusal),
    /// Not decided when patience ended, and certainly not applied by any attempt.
    NotApplied(Refusal),
    /// Not known: an attempt may have been applied, or still be.
    Unknown(Refusal),
}

/// Sends until there is an answer or patience ends.
pub(crate) async fn deliver<R>(
    patience: Patience,
    send: impl AsyncFn() -> Result<R, Status>,
) -> Result<R, Undelivered> {
    let begun = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut is_unknown = false;
    loop {
        let refusal = match send().await {
            Ok(answer) => return Ok(answer),
            Err(status) => Refusal::new(&status),
        };
        if !refusal.is_passing() {
            // That an atomic batch was refused is not kept: it says nothing of an attempt that may still be under way.
            let says_nothing = is_unknown && refusal.reason == "BATCH_REFUSED";
            return Err(match says_nothing {
                true => Undelivered::Unknown(refusal),
                false => Undelivered::Refused(refusal),
            });
        }
        // Once unknown it stays so: a later "not applied" speaks of its own attempt only.
        is_unknown |= refusal.may_be_applied();
        if begun.elapsed() + pause >= patience.total {
            return Err(match is_unknown {
                true => Undelivered::Unknown(refusal),
                false => Undelivered::NotApplied(refusal),
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

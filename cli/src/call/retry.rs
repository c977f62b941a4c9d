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
    /// Not decided when patience ended, or because of who sends it, and certainly not applied by any attempt.
    NotApplied(Refusal),
    /// Not known: an attempt may have been applied, or still be.
    Unknown(Refusal),
}

/// Sends until there is an answer or patience ends. It does not wait for the caller to get rights.
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
        if !refusal.is_passing() && !refusal.is_about_the_caller() {
            // That an atomic batch was refused is not kept: it says nothing of an attempt that may still be under way.
            let says_all = refusal.is_about_the_command() && refusal.reason != "BATCH_REFUSED";
            return Err(match is_unknown && !says_all {
                true => Undelivered::Unknown(refusal),
                false => Undelivered::Refused(refusal),
            });
        }
        // Once unknown it stays so: a later "not applied" speaks of its own attempt only.
        is_unknown |= refusal.may_be_applied();
        let is_over = begun.elapsed() + pause >= patience.total;
        if is_over || refusal.is_about_the_caller() {
            return Err(match is_unknown {
                true => Undelivered::Unknown(refusal),
                false => Undelivered::NotApplied(refusal),
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use service_kit::error_details::{Applied, ErrorStatus};
    use tonic::Code;

    use super::*;

    const PATIENCE: Patience =
        Patience { total: Duration::from_secs(5), attempt: Duration::from_secs(5) };

    fn not_applied(code: Code, reason: &'static str) -> Status {
        ErrorStatus::new(code, reason, "why").applied(Applied::No).into_status()
    }

    /// Answers attempts with these errors, one after another; all of them are asked for.
    async fn end_of(errors: impl IntoIterator<Item = Status>) -> Undelivered {
        let errors = RefCell::new(errors.into_iter());
        let sent = deliver(PATIENCE, async || Err::<(), _>(errors.borrow_mut().next().unwrap()));
        let end = sent.await.unwrap_err();
        assert!(errors.borrow_mut().next().is_none(), "it gave up early: {end:?}");
        end
    }

    #[tokio::test]
    async fn a_command_is_not_decided_by_who_sends_it() {
        for (code, reason) in [
            (Code::Unauthenticated, "TOKEN_INVALID"),
            (Code::Unauthenticated, "CREDENTIALS_MISSING"),
            (Code::PermissionDenied, "ACCOUNT_ACCESS_DENIED"),
        ] {
            let end = end_of([not_applied(code, reason)]).await;
            assert!(matches!(end, Undelivered::NotApplied(_)), "{end:?}");
        }
        let said_by_nobody_we_know = end_of([Status::unauthenticated("who are you?")]).await;
        assert!(matches!(said_by_nobody_we_know, Undelivered::Unknown(_)));
    }

    #[tokio::test]
    async fn an_attempt_whose_answer_was_lost_stays_unknown_unless_the_command_itself_is_refused() {
        for (code, reason, is_known) in [
            (Code::Unauthenticated, "TOKEN_INVALID", false),
            (Code::PermissionDenied, "ACCOUNT_ACCESS_DENIED", false),
            (Code::Unavailable, "LEDGER_UNSAFE", false),
            (Code::DataLoss, "LEDGER_CORRUPT", false),
            (Code::FailedPrecondition, "BATCH_REFUSED", false),
            (Code::FailedPrecondition, "INSUFFICIENT_FUNDS", true),
            (Code::InvalidArgument, "FIELD_REQUIRED", true),
        ] {
            let lost = Status::unavailable("connection reset");
            let end = end_of([lost, not_applied(code, reason)]).await;
            assert_eq!(matches!(end, Undelivered::Refused(_)), is_known, "{end:?}");
            assert_eq!(matches!(end, Undelivered::Unknown(_)), !is_known, "{end:?}");
        }
    }
}

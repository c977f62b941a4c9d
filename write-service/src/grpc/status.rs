//! The one table from error to gRPC status. It has no `_` arm: a new error must choose what its caller should do.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use ledger::{AccountId, Rejection};
use service_kit::error_details::{Applied, ErrorStatus};
use tonic::Code;

use super::request::Invalid;
use crate::answer::{CommandError, NoPlace};

/// Another instance answers at once.
const SHUTTING_DOWN_RETRY: Duration = Duration::from_millis(100);
/// A database that restarts is back in about so long.
const LEDGER_RETRY: Duration = Duration::from_millis(500);
/// Somebody has to make room first.
const STORAGE_RETRY: Duration = Duration::from_secs(5);

/// A status, with the reason that logs and metrics name it by. `account_id` is the command's; `credited` the same, or the
/// destination of a transfer.
pub(crate) fn error_status(
    error: &CommandError,
    account_id: &AccountId,
    credited: &AccountId,
) -> ErrorStatus {
    let text = error.to_string();
    match error {
        CommandError::Rejected { rejection, replayed } => {
            rejected(rejection, account_id, credited, text)
                .applied(Applied::No)
                .metadata("replayed", replayed)
        }
        CommandError::BatchRefused { index, rejection } => {
            let refused = rejected(rejection, account_id, credited, text);
            let command_reason = refused.reason;
            ErrorStatus { code: Code::FailedPrecondition, reason: "BATCH_REFUSED", ..refused }
                .applied(Applied::No)
                .metadata("index", index)
                .metadata("command_reason", command_reason)
        }
        // The caller has mixed up its ids: this command needs one of its own.
        CommandError::RequestIdReused => {
            ErrorStatus::new(Code::AlreadyExists, "REQUEST_ID_REUSED", text).applied(Applied::No)
        }
        CommandError::AccessDenied => denied(),
        CommandError::NoPlace(refusal) => no_place(refusal),
        CommandError::ShuttingDown => shutting_down(),
        CommandError::DeadlineBeforeStart => {
            ErrorStatus::new(Code::DeadlineExceeded, "DEADLINE_BEFORE_START", text)
                .applied(Applied::No)
                .retry_after(Duration::ZERO)
        }
        // The same request again tells the truth.
        CommandError::DeadlinePassed => {
            ErrorStatus::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", text)
                .applied(Applied::Unknown)
                .retry_after(Duration::ZERO)
        }
        CommandError::OutcomeUnknown => {
            ErrorStatus::new(Code::Unavailable, "OUTCOME_UNKNOWN", text)
                .applied(Applied::Unknown)
                .retry_after(LEDGER_RETRY)
        }
        CommandError::LedgerUnavailable => {
            ErrorStatus::new(Code::Unavailable, "LEDGER_UNAVAILABLE", text)
                .applied(Applied::No)
                .retry_after(LEDGER_RETRY)
        }
        CommandError::StorageUnavailable(_) => {
            ErrorStatus::new(Code::Unavailable, "STORAGE_UNAVAILABLE", text)
                .applied(Applied::No)
                .retry_after(STORAGE_RETRY)
        }
        // No retry: an operator has to change the database's settings.
        CommandError::LedgerUnsafe(_) => {
            ErrorStatus::new(Code::Unavailable, "LEDGER_UNSAFE", text).applied(Applied::No)
        }
        // No retry: an operator has to find out what happened to the log.
        CommandError::LedgerCorrupt(_) => {
            ErrorStatus::new(Code::DataLoss, "LEDGER_CORRUPT", text).applied(Applied::No)
        }
    }
}

/// The caller has no right to an account, or there is none: that is not told apart, and nothing is kept of it.
pub(crate) fn denied() -> ErrorStatus {
    access::denied().applied(Applied::No)
}

/// Too many commands are waiting, of all callers or of this one.
pub(crate) fn no_place(refusal: &NoPlace) -> ErrorStatus {
    let reason = if refusal.is_own_fault { "RATE_LIMITED" } else { "OVERLOADED" };
    ErrorStatus::new(Code::ResourceExhausted, reason, refusal.to_string())
        .applied(Applied::No)
        .retry_after(refusal.retry_after)
}

/// The service is about to end.
pub(crate) fn shutting_down() -> ErrorStatus {
    let text = CommandError::ShuttingDown.to_string();
    ErrorStatus::new(Code::Unavailable, "SHUTTING_DOWN", text)
        .applied(Applied::No)
        .retry_after(SHUTTING_DOWN_RETRY)
}

/// The first violation names the error, unless nothing was filled in; the others are there with their own reasons.
pub(crate) fn invalid(invalid: &Invalid) -> ErrorStatus {
    let Invalid { is_empty, violations } = invalid;
    let (first, text) = match violations.as_slice() {
        _ if *is_empty => ("FIELD_REQUIRED", "the request is empty".to_owned()),
        [] => ("FIELD_REQUIRED", "a field is wrong".to_owned()),
        [only] => (only.reason, format!("{}: {}", only.field, only.description)),
        [first, ..] => (first.reason, format!("{} fields are wrong", violations.len())),
    };
    let error = ErrorStatus::new(Code::InvalidArgument, first, text).applied(Applied::No);
    violations.iter().fold(error, |error, violation| {
        error.violation_because(
            violation.field.clone(),
            violation.reason,
            violation.description.clone(),
        )
    })
}

fn rejected(
    rejection: &Rejection,
    account_id: &AccountId,
    credited: &AccountId,
    text: String,
) -> ErrorStatus {
    let precondition = |reason, id: &AccountId| {
        ErrorStatus::new(Code::FailedPrecondition, reason, text.clone())
            .precondition(format!("accounts/{id}"), text.clone())
            .metadata("account_id", id)
    };
    match rejection {
        Rejection::AccountNotFound { account_id } => {
            ErrorStatus::new(Code::NotFound, "ACCOUNT_NOT_FOUND", text)
                .metadata("account_id", account_id)
        }
        Rejection::AccountAlreadyExists { account_id } => {
            ErrorStatus::new(Code::AlreadyExists, "ACCOUNT_ALREADY_EXISTS", text)
                .metadata("account_id", account_id)
        }
        // The caller reads again, and decides anew under a new id.
        Rejection::VersionConflict { expected, current } => {
            ErrorStatus::new(Code::Aborted, "VERSION_CONFLICT", text)
                .metadata("account_id", account_id)
                .metadata("expected_version", expected.get())
                .metadata("current_version", current.get())
        }
        Rejection::AccountClosed { account_id } => precondition("ACCOUNT_CLOSED", account_id),
        Rejection::AccountFrozen { account_id } => precondition("ACCOUNT_FROZEN", account_id),
        Rejection::AccountNotFrozen { account_id } => {
            precondition("ACCOUNT_NOT_FROZEN", account_id)
        }
        Rejection::CurrencyMismatch { account_id, held, requested } => {
            precondition("CURRENCY_MISMATCH", account_id)
                .metadata("account_currency", held)
                .metadata("requested_currency", requested)
        }
        Rejection::InsufficientFunds { available, overdraft_limit, requested } => {
            precondition("INSUFFICIENT_FUNDS", account_id)
                .metadata("available", available)
                .metadata("overdraft_limit", overdraft_limit)
                .metadata("requested", requested)
        }
        Rejection::BalanceOverflow { balance, requested } => {
            precondition("BALANCE_OVERFLOW", credited)
                .metadata("balance", balance)
                .metadata("requested", requested)
        }
        Rejection::BalanceNotZero { balance } => {
            precondition("BALANCE_NOT_ZERO", account_id).metadata("balance", balance)
        }
        Rejection::HoldsOpen { held } => {
            precondition("HOLDS_OPEN", account_id).metadata("held", held)
        }
        Rejection::LimitAboveBalance { available, requested } => {
            precondition("LIMIT_ABOVE_BALANCE", account_id)
                .metadata("available", available)
                .metadata("requested", requested)
        }
    }
}

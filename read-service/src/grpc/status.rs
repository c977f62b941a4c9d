//! The one table from error to gRPC status. It has no `_` arm: a new error must choose what its caller should do.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use service_kit::error_details::ErrorStatus;
use tonic::Code;

use crate::consistency::{MAX_STALENESS_FIELD, TOKEN_FIELD};
use crate::error::{InvalidReason, Progress, QueryError, Violations};

/// The projector is some milliseconds behind, or has to be started: soon enough either way.
const LAGGING_RETRY: Duration = Duration::from_millis(100);
/// A rebuild takes from seconds to hours.
const REBUILDING_RETRY: Duration = Duration::from_secs(1);
/// A Redis that restarts is back in about so long, and this service a moment later.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// A queue that is full is empty again in less.
const OVERLOADED_RETRY: Duration = Duration::from_millis(100);
/// Another instance answers at once.
const SHUTTING_DOWN_RETRY: Duration = Duration::from_millis(100);

/// What a client gets for an error.
pub(crate) fn error_status(error: &QueryError) -> ErrorStatus {
    let text = error.to_string();
    match error {
        QueryError::Invalid(violations) => invalid(violations, text), // the caller mends its request
        QueryError::AccessDenied => access::denied(),
        QueryError::AccountNotFound { account_id, as_of } => {
            ErrorStatus::new(Code::NotFound, "ACCOUNT_NOT_FOUND", text)
                .metadata("account_id", account_id)
                .metadata("as_of", as_of)
        }
        QueryError::TransactionNotFound { transaction_id, as_of } => {
            ErrorStatus::new(Code::NotFound, "TRANSACTION_NOT_FOUND", text)
                .metadata("transaction_id", transaction_id)
                .metadata("as_of", as_of)
        }
        QueryError::HistoryNotKept { account_id, oldest } => {
            ErrorStatus::new(Code::FailedPrecondition, "HISTORY_NOT_KEPT", text)
                .metadata("oldest", oldest.get())
                .precondition(format!("accounts/{account_id}"), "older entries are in the log only")
        }
        QueryError::LogChanged { current } => {
            ErrorStatus::new(Code::FailedPrecondition, "LOG_CHANGED", text)
                .metadata("log_id", current)
                .precondition(TOKEN_FIELD, "drop the token and read anew")
        }
        QueryError::Lagging { as_of } => {
            ErrorStatus::new(Code::Unavailable, "READ_MODEL_LAGGING", text)
                .metadata("as_of", as_of)
                .retry_after(LAGGING_RETRY)
        }
        QueryError::Stale { as_of, staleness } => stale(text, as_of, *staleness),
        QueryError::Rebuilding(progress) => rebuilding(progress, text),
        QueryError::Inconsistent(_) => {
            ErrorStatus::new(Code::Unavailable, "READ_MODEL_REBUILDING", text)
                .retry_after(REBUILDING_RETRY)
        }
        QueryError::StoreUnavailable(_) => {
            ErrorStatus::new(Code::Unavailable, "READ_STORE_UNAVAILABLE", text)
                .retry_after(STORE_RETRY)
        }
        QueryError::Overloaded(_) => ErrorStatus::new(Code::ResourceExhausted, "OVERLOADED", text)
            .retry_after(OVERLOADED_RETRY),
        QueryError::ShuttingDown => ErrorStatus::new(Code::Unavailable, "SHUTTING_DOWN", text)
            .retry_after(SHUTTING_DOWN_RETRY),
    }
}

/// The first violation names the error; the others are there with their own reasons.
fn invalid(violations: &Violations, text: String) -> ErrorStatus {
    let first = violations.0.first().map_or("FIELD_REQUIRED", |first| reason_of(first.reason));
    let error = ErrorStatus::new(Code::InvalidArgument, first, text);
    violations.0.iter().fold(error, |error, violation| {
        let reason = reason_of(violation.reason);
        error.violation_because(&violation.field, reason, &violation.description)
    })
}

fn reason_of(reason: InvalidReason) -> &'static str {
    match reason {
        InvalidReason::FieldRequired => "FIELD_REQUIRED",
        InvalidReason::AccountIdMalformed => "ACCOUNT_ID_MALFORMED",
        InvalidReason::OwnerIdMalformed => "OWNER_ID_MALFORMED",
        InvalidReason::TransactionIdMalformed => "TRANSACTION_ID_MALFORMED",
        InvalidReason::BatchTooLarge => "BATCH_TOO_LARGE",
        InvalidReason::PageSizeInvalid => "PAGE_SIZE_INVALID",
        InvalidReason::PageTokenInvalid => "PAGE_TOKEN_INVALID",
        InvalidReason::TokenMalformed => "TOKEN_MALFORMED",
        InvalidReason::ConsistencyInvalid => "CONSISTENCY_INVALID",
    }
}

fn stale(text: String, as_of: &str, staleness: Option<Duration>) -> ErrorStatus {
    let error = ErrorStatus::new(Code::FailedPrecondition, "READ_MODEL_STALE", text)
        .metadata("as_of", as_of)
        .precondition(MAX_STALENESS_FIELD, "the read model is further behind")
        .retry_after(LAGGING_RETRY);
    match staleness {
        Some(staleness) => error.metadata("staleness_ms", staleness.as_millis()),
        None => error,
    }
}

fn rebuilding(progress: &Progress, text: String) -> ErrorStatus {
    let mut error = ErrorStatus::new(Code::Unavailable, "READ_MODEL_REBUILDING", text)
        .metadata("view", progress.view)
        .retry_after(REBUILDING_RETRY);
    if let Some(shard) = progress.shard {
        error = error.metadata("shard", shard);
    }
    if let Some(building) = progress.building {
        error = error.metadata("building_position", building);
    }
    if let Some(head) = progress.head {
        error = error.metadata("head_position", head);
    }
    error
}

/// A code as gRPC spells it, for metrics.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

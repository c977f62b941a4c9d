//! Errors as clients get them: a code, a sentence, and google.rpc details a program can act on.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use tonic_types::{FieldViolation, PreconditionViolation};

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "counterfoil";

/// Key in `ErrorInfo.metadata` that says whether a command took effect.
pub const APPLIED_KEY: &str = "applied";

/// Details and message travel in headers, and clients refuse more than 8 KiB of those: they would
/// report a broken response instead of our error. One text gets so many bytes ...
const TEXT_BYTES_MAX: usize = 256;
/// ... the message, of which each byte may be escaped to three, so many ...
const MESSAGE_BYTES_MAX: usize = 512;
/// ... and all violations together so many; base64 makes four of three.
const VIOLATIONS_BYTES_MAX: usize = 2048;

/// Whether a command that failed took effect. Write side only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Certainly not, and it never will.
    No,
    /// Nobody can say yet; the same request id tells later.
    Unknown,
}

impl Applied {
    fn as_str(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::Unknown => "unknown",
        }
    }
}

/// An error on its way out: code, reason and what else the catalogue asks for.
///
/// Every status built from it has an `ErrorInfo`; INVALID_ARGUMENT also a `BadRequest` and
/// FAILED_PRECONDITION also a `PreconditionFailure`, made from the message if nothing better was
/// given; one with `retry_after` also a `RetryInfo`.
#[derive(Clone, Debug)]
pub struct ErrorStatus {
    /// What the caller should do, in gRPC's words.
    pub code: Code,
    /// What happened, in the catalogue's words.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `ErrorInfo.metadata`: facts a program can use.
    pub metadata: Vec<(&'static str, String)>,
    /// Every field that is wrong, not only the first.
    pub violations: Vec<FieldViolation>,
    /// What about the state forbids it.
    pub preconditions: Vec<PreconditionViolation>,
    /// Set if the very same call may succeed later: not before this delay.
    pub retry_after: Option<Duration>,
}

impl ErrorStatus {
    /// An error with nothing but the least.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            preconditions: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn metadata(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Says whether the command took effect.
    #[must_use]
    pub fn applied(self, applied: Applied) -> Self {
        self.metadata(APPLIED_KEY, applied.as_str())
    }

    /// Adds a field that is wrong, for the error's own reason.
    #[must_use]
    pub fn violation(self, field: impl Into<String>, description: impl Into<String>) -> Self {
        let reason = self.reason;
        self.violation_because(field, reason, description)
    }

    /// Adds a field that is wrong for another reason than the error's first.
    #[must_use]
    pub fn violation_because(
        mut self,
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Self {
        self.violations.push(FieldViolation {
            field: field.into(),
            description: description.into(),
            reason: reason.to_owned(),
            localized_message: None,
        });
        self
    }

    /// Adds what about the state of `subject` forbids it.
    #[must_use]
    pub fn precondition(
        mut self,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.preconditions.push(PreconditionViolation {
            r#type: self.reason.to_owned(),
            subject: subject.into(),
            description: description.into(),
        });
        self
    }

    /// Says that the same call may be repeated, but not before this delay.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The status, with all its details, small enough for any client's header limit.
    #[must_use]
    pub fn into_status(mut self) -> Status {
        truncate(&mut self.message, MESSAGE_BYTES_MAX);
        self.add_what_the_code_requires();

        let mut details = ErrorDetails::new();
        let metadata = self.metadata.into_iter().map(|(key, mut value)| {
            truncate(&mut value, TEXT_BYTES_MAX);
            (key.to_owned(), value)
        });
        details.set_error_info(self.reason, DOMAIN, metadata.collect::<HashMap<_, _>>());
        if !self.violations.is_empty() {
            details.set_bad_request(bounded_violations(self.violations));
        }
        if !self.preconditions.is_empty() {
            details.set_precondition_failure(bounded_preconditions(self.preconditions));
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(self.code, self.message, details)
    }

    fn add_what_the_code_requires(&mut self) {
        if self.code == Code::InvalidArgument && self.violations.is_empty() {
            self.violations.push(FieldViolation {
                description: self.message.clone(),
                reason: self.reason.to_owned(),
                ..FieldViolation::default()
            });
        }
        if self.code == Code::FailedPrecondition && self.preconditions.is_empty() {
            self.preconditions.push(PreconditionViolation {
                r#type: self.reason.to_owned(),
                subject: String::new(),
                description: self.message.clone(),
            });
        }
    }
}

impl ErrorStatus {
    /// The status as a message, for a response that answers several things at once.
    #[must_use]
    pub fn into_rpc_status(self) -> tonic_types::pb::Status {
        let status = self.into_status();
        // The details of a status are exactly this message.
        tonic_types::pb::Status::decode(status.details()).unwrap_or_else(|_| {
            tonic_types::pb::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            }
        })
    }
}

impl From<ErrorStatus> for Status {
    fn from(error: ErrorStatus) -> Self {
        error.into_status()
    }
}

/// The reason that a status carries, seen from the client's side.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The `ErrorInfo.metadata` that a status carries, seen from the client's side.
#[must_use]
pub fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

fn bounded_violations(mut violations: Vec<FieldViolation>) -> Vec<FieldViolation> {
    for violation in &mut violations {
        truncate(&mut violation.field, TEXT_BYTES_MAX);
        truncate(&mut violation.description, TEXT_BYTES_MAX);
    }
    let kept = count_within(
        violations.iter().map(|v| v.field.len() + v.description.len() + v.reason.len()),
    );
    let left_out = violations.len() - kept;
    violations.truncate(kept);
    if left_out > 0 {
        violations.push(FieldViolation {
            description: format!("and {left_out} more"),
            ..FieldViolation::default()
        });
    }
    violations
}

fn bounded_preconditions(mut violations: Vec<PreconditionViolation>) -> Vec<PreconditionViolation> {
    for violation in &mut violations {
        truncate(&mut violation.subject, TEXT_BYTES_MAX);
        truncate(&mut violation.description, TEXT_BYTES_MAX);
    }
    let kept = count_within(
        violations.iter().map(|v| v.r#type.len() + v.subject.len() + v.description.len()),
    );
    violations.truncate(kept);
    violations
}

/// How many of the first items fit, each with protobuf's framing.
fn count_within(sizes: impl Iterator<Item = usize>) -> usize {
    const FRAMING_BYTES: usize = 12;
    let mut total = 0_usize;
    sizes
        .take_while(|size| {
            total = total.saturating_add(size + FRAMING_BYTES);
            total <= VIOLATIONS_BYTES_MAX
        })
        .count()
}

/// Cuts a text to so many bytes, between two characters, and shows that it did.
fn truncate(text: &mut String, bytes_max: usize) {
    const MARK: &str = "...";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - MARK.len()));
        text.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_bytes(status: Status) -> usize {
        let response = status.into_http::<()>();
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    #[test]
    fn every_error_says_domain_reason_and_whether_it_was_applied() {
        let status = ErrorStatus::new(Code::Unavailable, "LEDGER_UNAVAILABLE", "no connection")
            .applied(Applied::No)
            .retry_after(Duration::from_millis(250))
            .into_status();
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.reason.as_str()), (DOMAIN, "LEDGER_UNAVAILABLE"));
        assert_eq!(metadata(&status).get("applied").map(String::as_str), Some("false"));
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(250)));
        assert!(details.bad_request().is_none() && details.precondition_failure().is_none());
    }

    #[test]
    fn an_error_that_may_not_be_retried_has_no_retry_info() {
        let status = ErrorStatus::new(Code::DataLoss, "LEDGER_CORRUPT", "gap").into_status();
        assert!(status.get_error_details().retry_info().is_none());
    }

    #[test]
    fn an_invalid_argument_names_every_field() {
        let status = ErrorStatus::new(Code::InvalidArgument, "FIELD_REQUIRED", "2 fields")
            .violation("account_id", "is required")
            .violation_because("amount", "AMOUNT_NOT_POSITIVE", "must be positive")
            .into_status();
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let pairs: Vec<_> = violations.iter().map(|v| (&*v.field, &*v.reason)).collect();
        assert_eq!(pairs, [("account_id", "FIELD_REQUIRED"), ("amount", "AMOUNT_NOT_POSITIVE")]);
    }

    #[test]
    fn codes_that_require_a_detail_get_it_from_the_message() {
        let status = ErrorStatus::new(Code::InvalidArgument, "MESSAGE_MALFORMED", "cut short");
        let violations = status.into_status().get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].description, "cut short");

        let status = ErrorStatus::new(Code::FailedPrecondition, "ACCOUNT_CLOSED", "is closed");
        let failure = status.into_status().get_details_precondition_failure().unwrap();
        assert_eq!(failure.violations[0].r#type, "ACCOUNT_CLOSED");
        assert_eq!(failure.violations[0].description, "is closed");
    }

    #[test]
    fn the_largest_error_fits_into_the_headers_any_client_accepts() {
        let long = "ä".repeat(5_000);
        let mut error = ErrorStatus::new(Code::InvalidArgument, "TEXT_INVALID", long.clone())
            .applied(Applied::No)
            .metadata("account_id", &long)
            .precondition(long.clone(), long.clone());
        for index in 0..1_000 {
            error = error.violation(format!("commands[{index}].reference"), long.clone());
        }
        let status = error.into_status();
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations.last().unwrap().description.starts_with("and 99"));
        assert!(violations[0].description.ends_with("..."));
        let bytes = header_bytes(status);
        assert!(bytes < 8 * 1024, "{bytes}");
    }
}

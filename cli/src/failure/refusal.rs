//! An error of a service, taken apart.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};
use service_kit::error_details::{DOMAIN, metadata};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{REFUSED, UNAVAILABLE, USAGE, advice::advice};

/// What a service said instead of an answer, or why it could not be asked.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// From the catalogue; empty when the status is not from one of our services but from the way there.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Field and what is wrong with it.
    pub(crate) violations: Vec<(String, String)>,
    /// What to do now, where that depends on more than the reason.
    pub(crate) next: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: &Status) -> Self {
        let ours = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
        let violations = violations.unwrap_or_default().into_iter();
        Self {
            code: status.code(),
            reason: ours.map(|info| info.reason).unwrap_or_default(),
            message: status.message().to_owned(),
            metadata: metadata(status).into_iter().collect(),
            violations: violations.map(|one| (one.field, one.description)).collect(),
            next: None,
        }
    }

    /// Says where nobody answered, which the status of a broken connection does not.
    pub(crate) fn at(mut self, addr: &str) -> Self {
        if self.reason.is_empty() {
            self.metadata.insert("address".to_owned(), addr.to_owned());
        }
        self
    }

    /// The same command again may well be answered otherwise, without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self.code {
            Code::Unavailable => self.reason != "LEDGER_UNSAFE",
            Code::DeadlineExceeded | Code::ResourceExhausted => self.reason != "MESSAGE_TOO_LARGE",
            // Broken connections come in these forms, but our services never say them.
            Code::Cancelled | Code::Unknown | Code::Internal => self.reason.is_empty(),
            _ => false,
        }
    }

    /// Who sent the command is not known, or may not send it. That says nothing of the command: it is as it was, and so is
    /// what became of an earlier attempt.
    pub(crate) fn is_about_the_caller(&self) -> bool {
        matches!(self.code, Code::Unauthenticated | Code::PermissionDenied)
    }

    /// It is the command that was looked at and refused: whoever sends it and whenever, while nothing else changes. All
    /// others speak of the service, of the way there, or of the caller.
    pub(crate) fn is_about_the_command(&self) -> bool {
        match self.code {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted => true,
            Code::ResourceExhausted => self.reason == "MESSAGE_TOO_LARGE",
            _ => false,
        }
    }

    /// Whether the command may have done something, or still do. That it has not, only the service itself can know.
    pub(crate) fn may_be_applied(&self) -> bool {
        match self.metadata.get("applied") {
            Some(applied) => applied != "false",
            // Where no connection came about, nothing was sent.
            None => !self.reason.is_empty() || !self.message.contains("tcp connect error"),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.code {
            Code::InvalidArgument | Code::Unimplemented => USAGE,
            _ if self.is_passing() => UNAVAILABLE,
            Code::Unavailable | Code::DataLoss => UNAVAILABLE,
            Code::FailedPrecondition if self.reason == "READ_MODEL_STALE" => UNAVAILABLE,
            _ => REFUSED,
        }
    }

    /// In the words of the gRPC documentation, such as `FAILED_PRECONDITION`.
    pub(crate) fn code_name(&self) -> &'static str {
        match self.code {
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

    /// The reason, or the code where there is none.
    pub(crate) fn name(&self) -> &str {
        if self.reason.is_empty() { self.code_name() } else { &self.reason }
    }

    pub(crate) fn json(&self) -> Value {
        let violations = self.violations.iter();
        let violations: Vec<Value> = violations
            .map(|(field, description)| json!({ "field": field, "description": description }))
            .collect();
        json!({ "error": {
            "code": self.code_name(),
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
            "violations": violations,
            "next": self.what_next(),
        } })
    }

    /// What can be done about its reason, wherever it comes up.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        advice(self.name())
    }

    fn what_next(&self) -> Option<String> {
        self.next.clone().or_else(|| self.advice().map(str::to_owned))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.is_empty() {
            true => writeln!(f, "error: {}", self.code_name())?,
            false => writeln!(f, "error: {} ({})", self.reason, self.code_name())?,
        }
        writeln!(f, "  {}", self.message)?;
        let width = self.metadata.keys().map(String::len).max().unwrap_or_default();
        for (key, value) in &self.metadata {
            writeln!(f, "  {key:width$}  {value}")?;
        }
        for (field, description) in &self.violations {
            writeln!(f, "  field {field}: {description}")?;
        }
        self.what_next().map_or(Ok(()), |next| writeln!(f, "next: {next}"))
    }
}

#[cfg(test)]
mod tests {
    use service_kit::error_details::{Applied, ErrorStatus};

    use super::*;

    fn refusal(code: Code, reason: &'static str) -> Refusal {
        Refusal::new(&ErrorStatus::new(code, reason, "why").applied(Applied::No).into_status())
    }

    #[test]
    fn an_error_of_the_ledger_is_shown_with_all_it_says() {
        let status =
            ErrorStatus::new(Code::InvalidArgument, "FIELD_REQUIRED", "two fields are wrong")
                .metadata("account_id", "alice")
                .applied(Applied::No)
                .violation("payee", "must be set");
        let shown = Refusal::new(&status.into_status()).to_string();
        for part in
            ["FIELD_REQUIRED (INVALID_ARGUMENT)", "two fields", "alice", "field payee: must be set"]
        {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_decided_is_not() {
        assert!(refusal(Code::Unavailable, "OUTCOME_UNKNOWN").is_passing());
        assert!(refusal(Code::ResourceExhausted, "OVERLOADED").is_passing());
        assert!(Refusal::new(&Status::unknown("transport error")).is_passing());
        assert!(!refusal(Code::ResourceExhausted, "MESSAGE_TOO_LARGE").is_passing());
        assert!(!refusal(Code::FailedPrecondition, "INSUFFICIENT_FUNDS").is_passing());
        assert!(!refusal(Code::Unavailable, "LEDGER_UNSAFE").is_passing());
        assert!(!refusal(Code::DataLoss, "LEDGER_CORRUPT").is_passing());
    }

    #[test]
    fn only_the_service_itself_can_say_that_nothing_was_applied() {
        assert!(!refusal(Code::Unavailable, "LEDGER_UNAVAILABLE").may_be_applied());
        assert!(Refusal::new(&Status::unavailable("connection reset")).may_be_applied());
        assert!(!Refusal::new(&Status::unavailable("tcp connect error")).may_be_applied());
    }

    #[test]
    fn exit_codes_tell_refused_malformed_and_unavailable_apart() {
        assert_eq!(refusal(Code::NotFound, "ACCOUNT_NOT_FOUND").exit_code(), REFUSED);
        assert_eq!(refusal(Code::InvalidArgument, "FIELD_REQUIRED").exit_code(), USAGE);
        assert_eq!(refusal(Code::Unavailable, "READ_MODEL_LAGGING").exit_code(), UNAVAILABLE);
        assert_eq!(refusal(Code::FailedPrecondition, "READ_MODEL_STALE").exit_code(), UNAVAILABLE);
    }
}

//! O11: only documented codes and reasons, and of a broken connection only what a transport makes of it.

use super::{Evidence, Verdict};
use crate::history::{Answer, ReadAnswer};

/// What every command can be refused with for good or for now, as the write contract lists it.
const WRITE: &[(&str, &[&str])] = &[
    ("AlreadyExists", &["REQUEST_ID_REUSED", "ACCOUNT_ALREADY_EXISTS"]),
    ("NotFound", &["ACCOUNT_NOT_FOUND"]),
    ("PermissionDenied", &["ACCOUNT_ACCESS_DENIED"]),
    ("Aborted", &["VERSION_CONFLICT"]),
    (
        "FailedPrecondition",
        &[
            "ACCOUNT_CLOSED",
            "ACCOUNT_FROZEN",
            "ACCOUNT_NOT_FROZEN",
            "CURRENCY_MISMATCH",
            "INSUFFICIENT_FUNDS",
            "BALANCE_OVERFLOW",
            "BALANCE_NOT_ZERO",
            "LIMIT_ABOVE_BALANCE",
            "BATCH_REFUSED",
        ],
    ),
    ("DeadlineExceeded", &["DEADLINE_BEFORE_START", "OUTCOME_UNKNOWN"]),
    ("ResourceExhausted", &["OVERLOADED", "RATE_LIMITED"]),
    (
        "Unavailable",
        &["LEDGER_UNAVAILABLE", "OUTCOME_UNKNOWN", "SHUTTING_DOWN", "STORAGE_UNAVAILABLE"],
    ),
    ("InvalidArgument", &["AMOUNT_NOT_POSITIVE"]),
];

/// The same of the read contract.
const READ: &[(&str, &[&str])] = &[
    ("NotFound", &["ACCOUNT_NOT_FOUND"]),
    ("FailedPrecondition", &["READ_MODEL_STALE"]),
    (
        "Unavailable",
        &["READ_MODEL_LAGGING", "READ_MODEL_REBUILDING", "READ_STORE_UNAVAILABLE", "SHUTTING_DOWN"],
    ),
    ("ResourceExhausted", &["OVERLOADED"]),
    ("DeadlineExceeded", &["DEADLINE_BEFORE_START", "DEADLINE_PASSED"]),
];

/// What a client library says by itself of a connection that breaks, and of a call that it gives up.
const TRANSPORT: [&str; 4] = ["Unavailable", "Unknown", "Internal", "Cancelled"];

/// How the history names an error that has no details: no service of ours made it.
pub(crate) const NO_DETAILS: &str = "(transport)";

/// Whether the write contract has this error.
pub(crate) fn is_documented_write(code: &str, reason: &str) -> bool {
    is_in(WRITE, code, reason)
}

/// Whether the read contract has this error.
pub(crate) fn is_documented_read(code: &str, reason: &str) -> bool {
    is_in(READ, code, reason)
}

fn is_in(contract: &[(&str, &[&str])], code: &str, reason: &str) -> bool {
    if reason == NO_DETAILS {
        return TRANSPORT.contains(&code);
    }
    contract.iter().any(|(documented, reasons)| *documented == code && reasons.contains(&reason))
}

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for call in &evidence.calls {
        for attempt in &call.attempts {
            let (code, reason) = match &attempt.answer {
                Answer::Applied(_) => continue,
                Answer::Refused(refused) => (&refused.code, &refused.reason),
                Answer::NotApplied { code, reason } | Answer::Unknown { code, reason } => {
                    (code, reason)
                }
            };
            verdict.judge(is_documented_write(code, reason), || {
                format!("{} was answered with {code} {reason:?}", call.request_id)
            });
        }
    }
    for read in &evidence.reads {
        if let ReadAnswer::Failed { code, reason } = &read.answer {
            verdict.judge(is_documented_read(code, reason), || {
                format!("reader {} at {:?} answered {code} {reason:?}", read.reader, read.sent)
            });
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{
            Freshness, Read,
            given::{call, ms, shed},
        },
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    #[test]
    fn an_error_that_no_contract_has_is_noticed() {
        let answered = |code: &str, reason: &str| {
            let (code, reason) = (code.to_owned(), reason.to_owned());
            let deposit = command("a", Doing::Deposit(euros(5)));
            let call = call(7, deposit, 0, 1, Answer::Unknown { code, reason });
            judge(&evidence(&GivenLog::two_accounts(), vec![call])).wrong
        };
        assert_eq!(answered("Unavailable", "OUTCOME_UNKNOWN"), 0);
        assert_eq!(answered("Unavailable", NO_DETAILS), 0);
        assert_eq!(answered("Internal", "OUTCOME_UNKNOWN"), 1);
        assert_eq!(answered("Unavailable", "WHO_KNOWS"), 1);
        assert_eq!(answered("DataLoss", NO_DETAILS), 1);
    }

    #[test]
    fn errors_of_reads_are_judged_by_their_own_contract() {
        let deposit = command("a", Doing::Deposit(euros(5)));
        let log = GivenLog::two_accounts();
        let mut evidence = evidence(&log, vec![call(7, deposit, 0, 1, shed())]);
        let failed = |reason: &str| Read {
            reader: 0,
            life: None,
            sent: ms(1),
            ended: ms(2),
            asked: Freshness::Any,
            answer: ReadAnswer::Failed { code: "Unavailable".into(), reason: reason.into() },
        };
        evidence.reads = vec![failed("READ_MODEL_LAGGING")];
        assert!(is_content(&judge(&evidence)));
        evidence.reads = vec![failed("OUTCOME_UNKNOWN")];
        assert_eq!(judge(&evidence).wrong, 1);
    }
}

//! What bad input gets: one table, row by row through real calls. What bad weather gets is in `weather`.

use std::collections::BTreeSet;

use tonic::Code::{self, FailedPrecondition, InvalidArgument};

use self::{
    format::{id_rows, money_rows, name_rows, text_rows},
    state::state_rows,
};
use crate::support::*;

mod format;
mod state;

mod shards {
    crate::support::with_one_shard_and_four!(every_bad_input_gets_the_error_of_its_row);
}

/// A request and what it must get.
struct Row {
    call: Call,
    code: Code,
    reason: &'static str,
    /// Fields that are wrong, each with its reason; all of them.
    violations: Vec<(&'static str, &'static str)>,
    metadata: Vec<(&'static str, &'static str)>,
    /// What the precondition is about.
    subject: Option<&'static str>,
}

/// The row's only violation has the row's own reason.
fn invalid(call: Call, field: &'static str, reason: &'static str) -> Row {
    let violations = vec![(field, reason)];
    Row { call, code: InvalidArgument, reason, violations, metadata: Vec::new(), subject: None }
}

fn all_wrong(call: Call, violations: &[(&'static str, &'static str)]) -> Row {
    Row { violations: violations.to_vec(), ..invalid(call, "", violations[0].1) }
}

/// Nothing is filled in: that is said first, and all that is missing after it.
fn empty(call: Call, violations: &[(&'static str, &'static str)]) -> Row {
    Row { reason: "FIELD_REQUIRED", ..all_wrong(call, violations) }
}

fn refused(
    call: Call,
    code: Code,
    reason: &'static str,
    metadata: &[(&'static str, &'static str)],
) -> Row {
    let (violations, metadata) = (Vec::new(), metadata.to_vec());
    Row { call, code, reason, violations, metadata, subject: None }
}

fn failed(
    call: Call,
    reason: &'static str,
    subject: &'static str,
    metadata: &[(&'static str, &'static str)],
) -> Row {
    Row { subject: Some(subject), ..refused(call, FailedPrecondition, reason, metadata) }
}

/// Nine deposits of this are the most an account can hold of it.
const LARGEST: i64 = 1_000_000_000_000_000_000;

async fn prepare(service: &Service) -> Call {
    let used = deposit("a", 100);
    let mut calls = vec![
        open("a"),
        used.clone(),
        open("b"),
        open("yen").in_currency("JPY"),
        open("frozen"),
        deposit("frozen", 10),
        freeze("frozen"),
        open("closed"),
        close("closed"),
        open_with_limit("overdrawn", 50),
        withdraw("overdrawn", 30),
        open("rich"),
        deposit("rich", LARGEST),
        open("full"),
    ];
    calls.extend((0..9).map(|_| deposit("full", LARGEST)));
    for call in calls {
        service.done(call).await;
    }
    used
}

async fn every_bad_input_gets_the_error_of_its_row(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let used = prepare(&service).await;
    let before = log.judge().await.accounts;
    let rows: Vec<Row> = [id_rows(), name_rows(), money_rows(), text_rows(), state_rows(&used)]
        .into_iter()
        .flatten()
        .collect();
    for row in &rows {
        check(row, &service).await;
    }
    let reasons = rows
        .iter()
        .flat_map(|row| row.violations.iter().map(|(_, reason)| *reason).chain([row.reason]));
    check_completeness(reasons.collect());
    assert_eq!(log.judge().await.accounts, before, "what is refused changes nothing");
}

async fn check(row: &Row, service: &Service) {
    let call = &row.call;
    let got = service.refused(call.clone()).await;
    assert_eq!((got.code, got.reason.as_str()), (row.code, row.reason), "{call:?}: {got:?}");
    assert_eq!(got.applied(), "false", "{call:?}: {got:?}");
    let violations: Vec<(&str, &str)> =
        got.violations.iter().map(|(field, why)| (field.as_str(), why.as_str())).collect();
    assert_eq!(violations, row.violations, "{call:?}");
    for (key, value) in &row.metadata {
        let said = got.metadata.get(*key).map(String::as_str);
        assert_eq!(said, Some(*value), "{call:?}: {key} in {got:?}");
    }
    let subjects: Vec<(String, String)> =
        row.subject.iter().map(|subject| (row.reason.to_owned(), (*subject).to_owned())).collect();
    assert_eq!(got.preconditions, subjects, "{call:?}");
    assert_eq!(got.retry_after, None, "{call:?}: the same again would get the same");
    assert!(!got.message.is_empty());
}

/// Every reason in the source has a row here, or a test elsewhere.
fn check_completeness(covered: BTreeSet<&str>) {
    let elsewhere = [
        "BATCH_EMPTY", // in `batches`, as are all about batches
        "BATCH_REFUSED",
        "BATCH_TOO_LARGE",
        "COMMAND_MISSING",
        "ENUM_UNKNOWN",
        "REQUEST_ID_DUPLICATE",
        "REQUEST_ID_UNEXPECTED",
        "DEADLINE_BEFORE_START",
        "HOLDS_OPEN", // there are no holds yet; the ledger's own tests reach it
        "LEDGER_CORRUPT",
        "LEDGER_UNAVAILABLE",
        "LEDGER_UNSAFE",
        "OUTCOME_UNKNOWN",
        "OVERLOADED",
        "RATE_LIMITED",
        "SHUTTING_DOWN",
        "STORAGE_UNAVAILABLE",
    ];
    let sources = [
        include_str!("../../src/grpc/any_command.rs"),
        include_str!("../../src/grpc/batch.rs"),
        include_str!("../../src/grpc/request.rs"),
        include_str!("../../src/grpc/status.rs"),
    ];
    let is_reason = |text: &&str| {
        text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let known: BTreeSet<&str> =
        sources.iter().flat_map(|source| source.split('"')).filter(is_reason).collect();
    let tested: BTreeSet<&str> = covered.union(&elsewhere.into()).copied().collect();
    assert_eq!(tested, known);
}

//! What bad input gets: one table, row by row through real calls. What bad weather gets is in `weather`.

use std::collections::BTreeSet;

use proto::{types::Money, write};
use tonic::Code::{self, Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};

use crate::support::*;

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

/// Every reason in the two tables of the source has a row here, or a test elsewhere.
fn check_completeness(covered: BTreeSet<&str>) {
    let elsewhere = [
        "DEADLINE_BEFORE_START",
        "HOLDS_OPEN", // there are no holds yet; the ledger's own tests reach it
        "LEDGER_CORRUPT",
        "LEDGER_UNAVAILABLE",
        "LEDGER_UNSAFE",
        "OUTCOME_UNKNOWN",
        "OVERLOADED",
        "SHUTTING_DOWN",
        "STORAGE_UNAVAILABLE",
    ];
    let sources =
        [include_str!("../../src/grpc/request.rs"), include_str!("../../src/grpc/status.rs")];
    let is_reason = |text: &&str| {
        text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let known: BTreeSet<&str> =
        sources.iter().flat_map(|source| source.split('"')).filter(is_reason).collect();
    let tested: BTreeSet<&str> = covered.union(&elsewhere.into()).copied().collect();
    assert_eq!(tested, known);
}

/// Every rpc asks for a request id and an account.
fn id_rows() -> Vec<Row> {
    let calls = [
        open("new"),
        deposit("a", 1),
        withdraw("a", 1),
        pay_bill("a", 1),
        transfer("a", "b", 1),
        set_limit("a", 1),
        freeze("a"),
        unfreeze("a"),
        close("a"),
    ];
    let bad_ids = [
        ("", "REQUEST_ID_REQUIRED"),
        ("17", "REQUEST_ID_MALFORMED"),
        ("00000000-0000-0000-0000-000000000000", "REQUEST_ID_MALFORMED"),
    ];
    let with_bad_ids = calls.into_iter().flat_map(|call| {
        bad_ids.map(|(text, why)| invalid(call.clone().with_id_text(text), "request_id", why))
    });
    with_bad_ids.collect()
}

fn name_rows() -> Vec<Row> {
    let long = "x".repeat(65);
    let bad_names = ["-a", "a b", "a/b", "ä", "a\0", &long];
    let on_each = |name: &str, why| {
        [
            invalid(open(name), "account_id", why),
            invalid(deposit(name, 1), "account_id", why),
            invalid(withdraw(name, 1), "account_id", why),
            invalid(pay_bill(name, 1), "account_id", why),
            invalid(transfer(name, "b", 1), "source_account_id", why),
            invalid(transfer("a", name, 1), "destination_account_id", why),
            invalid(set_limit(name, 1), "account_id", why),
            invalid(freeze(name), "account_id", why),
            invalid(unfreeze(name), "account_id", why),
            invalid(close(name), "account_id", why),
        ]
    };
    let mut rows: Vec<Row> = on_each("", "ACCOUNT_ID_MALFORMED").into();
    rows.extend(bad_names.iter().flat_map(|name| on_each(name, "ACCOUNT_ID_MALFORMED")));
    rows.push(invalid(transfer("a", "a", 1), "destination_account_id", "SAME_ACCOUNT"));
    rows.push(empty(
        Call::OpenAccount(write::OpenAccountRequest::default()),
        &[
            ("request_id", "REQUEST_ID_REQUIRED"),
            ("account_id", "ACCOUNT_ID_MALFORMED"),
            ("currency_code", "CURRENCY_INVALID"),
        ],
    ));
    rows.push(empty(
        Call::Deposit(write::DepositRequest::default()),
        &[
            ("request_id", "REQUEST_ID_REQUIRED"),
            ("account_id", "ACCOUNT_ID_MALFORMED"),
            ("amount", "FIELD_REQUIRED"),
        ],
    ));
    rows.push(all_wrong(
        Call::PayBill(write::PayBillRequest {
            amount: Some(Money::default()),
            ..Default::default()
        }),
        &[
            ("request_id", "REQUEST_ID_REQUIRED"),
            ("account_id", "ACCOUNT_ID_MALFORMED"),
            ("amount.currency_code", "CURRENCY_INVALID"),
            ("amount.minor_units", "AMOUNT_NOT_POSITIVE"),
            ("payee", "FIELD_REQUIRED"),
        ],
    ));
    rows
}

type Movement = fn(i64) -> Call;

fn money_rows() -> Vec<Row> {
    let movements: [Movement; 4] = [
        |amount| deposit("a", amount),
        |amount| withdraw("a", amount),
        |amount| pay_bill("a", amount),
        |amount| transfer("a", "b", amount),
    ];
    let mut rows = Vec::new();
    for movement in movements {
        for amount in [0, -1, i64::MIN] {
            rows.push(invalid(movement(amount), "amount.minor_units", "AMOUNT_NOT_POSITIVE"));
        }
        for amount in [LARGEST + 1, i64::MAX] {
            rows.push(invalid(movement(amount), "amount.minor_units", "AMOUNT_TOO_LARGE"));
        }
        for code in ["", "eur", "EURO", "XXX", "ZZZ", "€"] {
            let call = movement(1).in_currency(code);
            rows.push(invalid(call, "amount.currency_code", "CURRENCY_INVALID"));
        }
        for version in [0, -1, i64::MIN] {
            let call = movement(1).expecting(version);
            rows.push(invalid(call, "expected_version", "VERSION_INVALID"));
        }
    }
    for code in ["", "eur", "XXX"] {
        let call = open("new").in_currency(code);
        rows.push(invalid(call, "currency_code", "CURRENCY_INVALID"));
    }
    for limit in [-1, i64::MIN, LARGEST + 1] {
        for call in [open_with_limit("new", limit), set_limit("a", limit)] {
            rows.push(invalid(call, "overdraft_limit", "OVERDRAFT_LIMIT_INVALID"));
        }
    }
    rows
}

fn text_rows() -> Vec<Row> {
    let long = "x".repeat(257);
    let mut rows = Vec::new();
    for text in ["a\nb", "a\0", "\u{7f}", &long] {
        for call in [deposit("a", 1), withdraw("a", 1), pay_bill("a", 1), transfer("a", "b", 1)] {
            rows.push(invalid(call.referring_to(text), "reference", "TEXT_INVALID"));
        }
        let changed = |change: fn(&mut Call, &str)| {
            let mut call = [deposit("a", 1), pay_bill("a", 1)];
            call.iter_mut().for_each(|call| change(call, text));
            call
        };
        let [given, paid] = changed(|call, text| match call {
            Call::Deposit(request) => request.counterparty = text.into(),
            Call::PayBill(request) => request.payee = text.into(),
            _ => {}
        });
        rows.push(invalid(given, "counterparty", "TEXT_INVALID"));
        rows.push(invalid(paid, "payee", "TEXT_INVALID"));
    }
    for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (253_402_300_800, 0)] {
        let Call::Deposit(mut request) = deposit("a", 1) else { unreachable!("a deposit") };
        request.effective_time = Some(prost_types::Timestamp { seconds, nanos });
        rows.push(invalid(Call::Deposit(request), "effective_time", "TIME_INVALID"));
    }
    for label in [(String::new(), "x"), ("k".repeat(65), "x"), ("k".into(), "a\nb")] {
        let Call::OpenAccount(mut request) = open("new") else { unreachable!("an opening") };
        request.labels = [(label.0, label.1.to_owned())].into();
        rows.push(invalid(Call::OpenAccount(request), "labels", "TEXT_INVALID"));
    }
    let Call::OpenAccount(mut request) = open("new") else { unreachable!("an opening") };
    request.labels = (0..33).map(|label| (label.to_string(), String::new())).collect();
    rows.push(invalid(Call::OpenAccount(request.clone()), "labels", "TEXT_INVALID"));
    request.labels.clear();
    request.owner_id = "-".into();
    rows.push(invalid(Call::OpenAccount(request), "owner_id", "OWNER_ID_MALFORMED"));
    rows
}

fn state_rows(used: &Call) -> Vec<Row> {
    let a = "accounts/a";
    vec![
        refused(deposit("a", 99).with_id(used.id()), AlreadyExists, "REQUEST_ID_REUSED", &[]),
        refused(deposit("no", 1), NotFound, "ACCOUNT_NOT_FOUND", &[("account_id", "no")]),
        refused(freeze("no"), NotFound, "ACCOUNT_NOT_FOUND", &[("account_id", "no")]),
        refused(transfer("no", "a", 1), NotFound, "ACCOUNT_NOT_FOUND", &[("account_id", "no")]),
        refused(transfer("a", "no", 1), NotFound, "ACCOUNT_NOT_FOUND", &[("account_id", "no")]),
        refused(open("a"), AlreadyExists, "ACCOUNT_ALREADY_EXISTS", &[("account_id", "a")]),
        refused(open("closed"), AlreadyExists, "ACCOUNT_ALREADY_EXISTS", &[]),
        failed(withdraw("a", 101), "INSUFFICIENT_FUNDS", a, &[("available", "100")]),
        failed(pay_bill("a", 101), "INSUFFICIENT_FUNDS", a, &[("requested", "101")]),
        failed(transfer("a", "b", 101), "INSUFFICIENT_FUNDS", a, &[("overdraft_limit", "0")]),
        failed(
            withdraw("overdrawn", 21),
            "INSUFFICIENT_FUNDS",
            "accounts/overdrawn",
            &[("available", "-30"), ("overdraft_limit", "50")],
        ),
        failed(
            deposit("full", LARGEST),
            "BALANCE_OVERFLOW",
            "accounts/full",
            &[("balance", "9000000000000000000")],
        ),
        failed(transfer("rich", "full", LARGEST), "BALANCE_OVERFLOW", "accounts/full", &[]),
        failed(
            deposit("a", 1).in_currency("JPY"),
            "CURRENCY_MISMATCH",
            a,
            &[("account_currency", "EUR"), ("requested_currency", "JPY")],
        ),
        failed(transfer("a", "yen", 1), "CURRENCY_MISMATCH", "accounts/yen", &[]),
        failed(deposit("closed", 1), "ACCOUNT_CLOSED", "accounts/closed", &[]),
        failed(transfer("a", "closed", 1), "ACCOUNT_CLOSED", "accounts/closed", &[]),
        failed(withdraw("frozen", 1), "ACCOUNT_FROZEN", "accounts/frozen", &[]),
        failed(transfer("frozen", "a", 1), "ACCOUNT_FROZEN", "accounts/frozen", &[]),
        failed(freeze("frozen"), "ACCOUNT_FROZEN", "accounts/frozen", &[]),
        failed(unfreeze("a"), "ACCOUNT_NOT_FROZEN", a, &[("account_id", "a")]),
        failed(close("a"), "BALANCE_NOT_ZERO", a, &[("balance", "100")]),
        failed(
            set_limit("overdrawn", 29),
            "LIMIT_ABOVE_BALANCE",
            "accounts/overdrawn",
            &[("available", "-30"), ("requested", "29")],
        ),
        refused(
            deposit("a", 1).expecting(9),
            Aborted,
            "VERSION_CONFLICT",
            &[("expected_version", "9"), ("current_version", "2")],
        ),
        refused(
            transfer("a", "b", 1).expecting(1),
            Aborted,
            "VERSION_CONFLICT",
            &[("current_version", "2")],
        ),
    ]
}

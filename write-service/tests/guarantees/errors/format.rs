//! Requests that are wrong in themselves: what the log holds does not matter.

use proto::{types::Money, write};

use super::{LARGEST, Row, all_wrong, empty, invalid};
use crate::support::*;

/// Every rpc asks for a request id and an account.
pub(super) fn id_rows() -> Vec<Row> {
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

pub(super) fn name_rows() -> Vec<Row> {
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

pub(super) fn money_rows() -> Vec<Row> {
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

pub(super) fn text_rows() -> Vec<Row> {
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

//! Requests that are well formed and refused because of what the log holds.

use tonic::Code::{Aborted, AlreadyExists, NotFound};

use super::{LARGEST, Row, failed, refused};
use crate::support::*;

pub(super) fn state_rows(used: &Call) -> Vec<Row> {
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

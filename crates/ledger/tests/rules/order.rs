//! Which rule speaks when several are broken: existence, version, status, currency, amounts.

use ledger::{Event, Operation, Rejection};

use crate::harness::*;

#[test]
fn existence_comes_before_the_version() {
    nothing().when_expecting(9, deposit(1)).then_rejected_unstored(not_found(ALICE));
    given([opened(ALICE)]).when_expecting(9, transfer(1)).then_rejected_unstored(not_found(BOB));
}

#[test]
fn the_version_comes_before_the_status() {
    given([opened(ALICE), Event::AccountClosed])
        .when_expecting(9, deposit(1))
        .then_rejected(conflict(9, 2));
    given([opened(ALICE), Event::AccountFrozen])
        .when_expecting(1, withdraw(1))
        .then_rejected_unstored(conflict(1, 2));
}

#[test]
fn the_status_comes_before_the_currency() {
    given([opened(ALICE), Event::AccountClosed])
        .when(deposit_in("JPY", 1))
        .then_rejected(closed(ALICE));
    given([opened(ALICE), Event::AccountFrozen])
        .when(withdraw_in("JPY", 1))
        .then_rejected(frozen(ALICE));
    given([opened(ALICE), Event::AccountFrozen])
        .and_bob([opened_in(BOB, "JPY"), Event::AccountClosed])
        .when(transfer(1))
        .then_rejected(closed(BOB));
}

#[test]
fn the_currency_comes_before_the_amount() {
    given([opened(ALICE)])
        .when(withdraw_in("JPY", i64::MAX))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
    given([opened(ALICE), deposited(i64::MAX)])
        .when(deposit_in("JPY", i64::MAX))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
    given([opened(ALICE)])
        .and_bob([opened_in(BOB, "JPY")])
        .when(transfer(1))
        .then_rejected(mismatch(BOB, "JPY", "EUR"));
}

#[test]
fn the_sources_amount_comes_before_the_destinations() {
    given([opened(ALICE)])
        .and_bob([opened(BOB), deposited(i64::MAX)])
        .when(transfer(1))
        .then_rejected(insufficient(0, 0, 1));
}

#[test]
fn held_money_comes_before_the_balance_when_closing() {
    given([opened(ALICE), deposited(5)])
        .holding(2)
        .when(Operation::CloseAccount)
        .then_rejected(Rejection::HoldsOpen { held: 2 });
}

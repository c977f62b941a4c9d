//! Money between two accounts: both sides, or neither.

use ledger::{Event, Rejection};

use crate::harness::*;

#[test]
fn a_transfer_takes_from_one_and_gives_to_the_other() {
    given([opened(ALICE), deposited(100)])
        .and_bob([opened(BOB), deposited(5)])
        .when(transfer(30))
        .then_both(sent(BOB, 30), received(ALICE, 30))
        .and_balance(70)
        .and_bobs_balance(35);
}

#[test]
fn a_transfer_may_use_up_the_sources_overdraft_and_not_more() {
    let with_limit = || {
        given([opened_with_limit(ALICE, 50), deposited(100)])
            .and_bob([opened_with_limit(BOB, 1000)])
    };
    with_limit()
        .when(transfer(150))
        .then_both(sent(BOB, 150), received(ALICE, 150))
        .and_balance(-50);
    with_limit().when(transfer(151)).then_rejected(insufficient(100, 50, 151));
}

#[test]
fn a_transfer_needs_both_accounts() {
    nothing().and_bob([opened(BOB)]).when(transfer(1)).then_rejected_unstored(not_found(ALICE));
    given([opened(ALICE)]).when(transfer(1)).then_rejected_unstored(not_found(BOB));
    nothing().when(transfer(1)).then_rejected_unstored(not_found(ALICE));
}

#[test]
fn a_transfer_to_or_from_a_closed_account_is_refused() {
    given([opened(ALICE), Event::AccountClosed])
        .and_bob([opened(BOB)])
        .when(transfer(1))
        .then_rejected(closed(ALICE));
    given([opened(ALICE), deposited(1)])
        .and_bob([opened(BOB), Event::AccountClosed])
        .when(transfer(1))
        .then_rejected(closed(BOB));
}

#[test]
fn a_transfer_is_in_the_currency_of_both() {
    let eur = || given([opened(ALICE), deposited(100)]);
    eur()
        .and_bob([opened(BOB)])
        .when(transfer_in("JPY", 1))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
    eur()
        .and_bob([opened_in(BOB, "JPY")])
        .when(transfer_in("EUR", 1))
        .then_rejected(mismatch(BOB, "JPY", "EUR"));
    eur()
        .and_bob([opened_in(BOB, "JPY")])
        .when(transfer_in("JPY", 1))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
}

#[test]
fn a_transfer_fills_the_destination_and_does_not_overflow_it() {
    let rich = |bob| given([opened(ALICE), deposited(100)]).and_bob([opened(BOB), deposited(bob)]);
    rich(i64::MAX - 100)
        .when(transfer(100))
        .then_both(sent(BOB, 100), received(ALICE, 100))
        .and_bobs_balance(i64::MAX);
    rich(i64::MAX - 99)
        .when(transfer(100))
        .then_rejected(Rejection::BalanceOverflow { balance: i64::MAX - 99, requested: 100 });
}

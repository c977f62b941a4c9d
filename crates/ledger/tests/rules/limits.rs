//! How much may go out, and how much may come in.

use ledger::Rejection;

use crate::harness::*;

#[test]
fn money_comes_in_and_goes_out() {
    given([opened(ALICE)]).when(deposit(100)).then(deposited(100)).and_balance(100).and_version(2);
    given([opened(ALICE), deposited(100)]).when(withdraw(30)).then(withdrawn(30)).and_balance(70);
    given([opened(ALICE), deposited(100)]).when(pay_bill(30)).then(bill_paid(30)).and_balance(70);
}

#[test]
fn the_last_cent_may_be_spent_and_not_one_more() {
    for (debit, event) in [(withdraw(100), withdrawn(100)), (pay_bill(100), bill_paid(100))] {
        given([opened(ALICE), deposited(100)]).when(debit).then(event).and_balance(0);
    }
    for debit in [withdraw(101), pay_bill(101)] {
        given([opened(ALICE), deposited(100)]).when(debit).then_rejected(insufficient(100, 0, 101));
    }
    given([opened(ALICE)]).when(withdraw(1)).then_rejected(insufficient(0, 0, 1));
}

#[test]
fn the_overdraft_may_be_used_up_and_not_one_cent_more() {
    let with_limit = || given([opened_with_limit(ALICE, 50), deposited(100)]);
    with_limit().when(withdraw(150)).then(withdrawn(150)).and_balance(-50);
    with_limit().when(withdraw(151)).then_rejected(insufficient(100, 50, 151));
    given([opened_with_limit(ALICE, 50), withdrawn(50)])
        .when(withdraw(1))
        .then_rejected(insufficient(-50, 50, 1));
}

#[test]
fn a_limit_that_was_set_later_counts() {
    given([opened(ALICE), limit_set(50)]).when(withdraw(50)).then(withdrawn(50)).and_balance(-50);
    given([opened_with_limit(ALICE, 50), limit_set(0)])
        .when(withdraw(1))
        .then_rejected(insufficient(0, 0, 1));
}

#[test]
fn held_money_is_not_there_to_spend() {
    let holding = || given([opened_with_limit(ALICE, 10), deposited(100)]).holding(60);
    holding().when(withdraw(50)).then(withdrawn(50));
    holding().when(withdraw(51)).then_rejected(insufficient(40, 10, 51));
}

#[test]
fn a_balance_fills_the_last_number_and_does_not_overflow() {
    let nearly_full = || given([opened(ALICE), deposited(i64::MAX - 1)]);
    nearly_full().when(deposit(1)).then(deposited(1)).and_balance(i64::MAX);
    nearly_full()
        .when(deposit(2))
        .then_rejected(Rejection::BalanceOverflow { balance: i64::MAX - 1, requested: 2 });
    given([opened(ALICE), deposited(1)])
        .when(deposit(i64::MAX))
        .then_rejected(Rejection::BalanceOverflow { balance: 1, requested: i64::MAX });
    given([opened_with_limit(ALICE, 1), withdrawn(1)])
        .when(deposit(i64::MAX))
        .then(deposited(i64::MAX))
        .and_balance(i64::MAX - 1);
}

#[test]
fn a_balance_does_not_overflow_downwards() {
    let deep = || given([opened_with_limit(ALICE, i64::MAX), withdrawn(i64::MAX - 1)]);
    deep().when(withdraw(1)).then(withdrawn(1)).and_balance(-i64::MAX);
    deep().when(withdraw(2)).then_rejected(insufficient(1 - i128::from(i64::MAX), i64::MAX, 2));
    deep().when(withdraw(i64::MAX)).then_rejected(insufficient(
        1 - i128::from(i64::MAX),
        i64::MAX,
        i64::MAX,
    ));
}

#[test]
fn money_of_another_currency_is_neither_added_nor_taken() {
    given([opened(ALICE), deposited(100)])
        .when(deposit_in("JPY", 1))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
    given([opened(ALICE), deposited(100)])
        .when(withdraw_in("JPY", 1))
        .then_rejected(mismatch(ALICE, "EUR", "JPY"));
}

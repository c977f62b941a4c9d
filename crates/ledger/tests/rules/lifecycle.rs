//! Opening, freezing, closing, and setting the limit.

use ledger::{Event, Operation, Rejection};

use crate::harness::*;

#[test]
fn an_account_begins_with_its_opening_at_version_1_and_a_zero_balance() {
    nothing().when(open(0)).then(opened(ALICE)).and_version(1).and_balance(0);
    nothing().when(open(500)).then(opened_with_limit(ALICE, 500));
}

#[test]
fn an_account_is_opened_once_also_after_it_was_closed() {
    let exists = || Rejection::AccountAlreadyExists { account_id: id(ALICE) };
    given([opened(ALICE)]).when(open(0)).then_rejected_unstored(exists());
    given([opened(ALICE), Event::AccountFrozen]).when(open(0)).then_rejected_unstored(exists());
    given([opened(ALICE), Event::AccountClosed]).when(open(0)).then_rejected_unstored(exists());
}

#[test]
fn nothing_can_be_done_with_an_account_that_does_not_exist() {
    for operation in every_operation_but_opening() {
        nothing().when(operation).then_rejected_unstored(not_found(ALICE));
    }
}

#[test]
fn a_closed_account_accepts_nothing() {
    for operation in every_operation_but_opening() {
        given([opened(ALICE), Event::AccountClosed])
            .and_bob([opened(BOB)])
            .when(operation)
            .then_rejected(closed(ALICE));
    }
}

#[test]
fn a_frozen_account_refuses_debits() {
    let frozen_with_money = || given([opened(ALICE), deposited(100), Event::AccountFrozen]);
    for debit in [withdraw(1), pay_bill(1), transfer(1)] {
        frozen_with_money().and_bob([opened(BOB)]).when(debit).then_rejected(frozen(ALICE));
    }
}

#[test]
fn a_frozen_account_accepts_credits_and_a_new_limit() {
    let frozen_account = || given([opened(ALICE), Event::AccountFrozen]);
    frozen_account().when(deposit(7)).then(deposited(7)).and_balance(7);
    frozen_account().when(set_limit(7)).then(limit_set(7));
    given([opened(ALICE), deposited(7)])
        .and_bob([opened(BOB), Event::AccountFrozen])
        .when(transfer(7))
        .then_both(sent(BOB, 7), received(ALICE, 7))
        .and_bobs_balance(7);
}

#[test]
fn an_account_is_frozen_once_and_thawed_once() {
    let not_frozen = || Rejection::AccountNotFrozen { account_id: id(ALICE) };
    given([opened(ALICE)]).when(Operation::FreezeAccount).then(Event::AccountFrozen).and_version(2);
    given([opened(ALICE), Event::AccountFrozen])
        .when(Operation::FreezeAccount)
        .then_rejected(frozen(ALICE));
    given([opened(ALICE), Event::AccountFrozen])
        .when(Operation::UnfreezeAccount)
        .then(Event::AccountUnfrozen);
    given([opened(ALICE)]).when(Operation::UnfreezeAccount).then_rejected(not_frozen());
    given([opened(ALICE), deposited(1), Event::AccountFrozen, Event::AccountUnfrozen])
        .when(withdraw(1))
        .then(withdrawn(1));
}

#[test]
fn only_an_account_with_exactly_nothing_on_it_is_closed() {
    let close = || Operation::CloseAccount;
    given([opened(ALICE)]).when(close()).then(Event::AccountClosed);
    given([opened(ALICE), Event::AccountFrozen]).when(close()).then(Event::AccountClosed);
    given([opened(ALICE), deposited(1)])
        .when(close())
        .then_rejected(Rejection::BalanceNotZero { balance: 1 });
    given([opened_with_limit(ALICE, 1), withdrawn(1)])
        .when(close())
        .then_rejected(Rejection::BalanceNotZero { balance: -1 });
    given([opened(ALICE)]).holding(1).when(close()).then_rejected(Rejection::HoldsOpen { held: 1 });
    given([opened(ALICE), deposited(5)])
        .holding(5)
        .when(close())
        .then_rejected(Rejection::HoldsOpen { held: 5 });
}

#[test]
fn a_limit_may_be_set_that_the_balance_exactly_keeps_and_not_one_less() {
    let overdrawn = || given([opened_with_limit(ALICE, 100), withdrawn(60)]);
    overdrawn().when(set_limit(60)).then(limit_set(60)).and_balance(-60);
    overdrawn()
        .when(set_limit(59))
        .then_rejected(Rejection::LimitAboveBalance { available: -60, requested: 59 });
    overdrawn()
        .when(set_limit(0))
        .then_rejected(Rejection::LimitAboveBalance { available: -60, requested: 0 });
    given([opened_with_limit(ALICE, 100)]).when(set_limit(0)).then(limit_set(0));
    given([opened_with_limit(ALICE, 100), deposited(10)])
        .holding(15)
        .when(set_limit(4))
        .then_rejected(Rejection::LimitAboveBalance { available: -5, requested: 4 });
}

fn every_operation_but_opening() -> [Operation; 8] {
    [
        deposit(1),
        withdraw(1),
        pay_bill(1),
        transfer(1),
        set_limit(1),
        Operation::FreezeAccount,
        Operation::UnfreezeAccount,
        Operation::CloseAccount,
    ]
}

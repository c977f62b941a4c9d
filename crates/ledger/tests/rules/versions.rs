//! Commands that are meant for an account as their caller saw it.

use ledger::{Event, Operation, event::RejectedCommand, evolve};

use crate::harness::*;

#[test]
fn a_command_for_the_version_that_is_there_is_accepted() {
    given([opened(ALICE)]).when_expecting(1, deposit(5)).then(deposited(5)).and_version(2);
    given([opened(ALICE), deposited(5)]).when_expecting(2, withdraw(5)).then(withdrawn(5));
}

#[test]
fn a_version_that_has_not_come_is_refused_for_good() {
    given([opened(ALICE)]).when_expecting(2, deposit(5)).then_rejected(conflict(2, 1));
    given([opened(ALICE)])
        .when_expecting(i64::MAX, deposit(5))
        .then_rejected(conflict(i64::MAX, 1));
}

#[test]
fn a_version_that_has_passed_is_refused_and_forgotten() {
    given([opened(ALICE), deposited(5)])
        .when_expecting(1, deposit(5))
        .then_rejected_unstored(conflict(1, 2));
}

#[test]
fn a_transfer_expects_the_sources_version() {
    let both =
        || given([opened(ALICE), deposited(5)]).and_bob([opened(BOB), deposited(1), deposited(1)]);
    both().when_expecting(2, transfer(5)).then_both(sent(BOB, 5), received(ALICE, 5));
    both().when_expecting(3, transfer(5)).then_rejected(conflict(3, 2));
    both().when_expecting(1, transfer(5)).then_rejected_unstored(conflict(1, 2));
}

#[test]
fn a_refusal_that_is_kept_leaves_the_account_as_it_was() {
    let state = [opened(ALICE), deposited(5)]
        .iter()
        .fold(None, |state, event| Some(evolve(state, event).unwrap()))
        .unwrap();
    let rejected = Event::CommandRejected(Box::new(RejectedCommand {
        operation: Operation::FreezeAccount,
        expected_version: None,
        rejection: frozen(ALICE),
    }));
    assert_eq!(evolve(Some(state), &rejected), Ok(state));
}

#[test]
fn an_event_that_cannot_follow_is_impossible() {
    let opened_state = evolve(None, &opened(ALICE)).unwrap();
    assert!(evolve(None, &deposited(1)).is_err(), "an account begins with its opening");
    assert!(evolve(Some(opened_state), &opened(ALICE)).is_err(), "and is opened once");
    let full = evolve(Some(opened_state), &deposited(i64::MAX)).unwrap();
    assert!(evolve(Some(full), &deposited(1)).is_err());
    assert!(evolve(Some(full), &received(BOB, 1)).is_err());
}

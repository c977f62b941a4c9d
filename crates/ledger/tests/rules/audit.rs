//! Who has only the events says the same as who decided them.

use ledger::{Event, Operation};

use crate::harness::*;

#[test]
fn what_could_follow_is_what_is_decided() {
    let operations = [
        (deposit(1), deposited(1)),
        (deposit(1), received(BOB, 1)), // the same rules hold for it
        (withdraw(1), withdrawn(1)),
        (pay_bill(1), bill_paid(1)),
        (transfer(1), sent(BOB, 1)),
        (set_limit(50), limit_set(50)), // the limit itself is told by the state after it
        (Operation::FreezeAccount, Event::AccountFrozen),
        (Operation::UnfreezeAccount, Event::AccountUnfrozen),
        (Operation::CloseAccount, Event::AccountClosed),
        (open(0), opened(ALICE)),
    ];
    let histories = [
        vec![],
        vec![deposited(1)],
        vec![withdrawn(1)],
        vec![Event::AccountFrozen],
        vec![deposited(1), Event::AccountFrozen],
        vec![Event::AccountFrozen, Event::AccountUnfrozen],
        vec![Event::AccountClosed],
    ];
    for history in histories {
        for held in [0, 1] {
            for (operation, event) in &operations {
                let events = [opened_with_limit(ALICE, 100)].into_iter().chain(history.clone());
                let given = given(events).and_bob([opened(BOB)]).holding(held);
                let could = given.could_be_followed_by(event);
                let is_accepted = given.when(operation.clone()).is_accepted();
                assert_eq!(could, is_accepted, "{event:?} after {history:?}, {held} held");
            }
        }
    }
}

//! Accounts: every account as it stands, and the accounts of every owner.

use std::collections::BTreeMap;

use event_store::RecordedEvent;
use ledger::{AccountNumber, Event};
use read_model::{AccountView, Change};

use super::{EventPage, ImpossibleEvent};

/// Only the last event of each account in the page counts: every row of the log carries the whole state.
pub(super) fn fold(page: &EventPage<'_>) -> Result<Vec<Change>, ImpossibleEvent> {
    let mut changes = Vec::new();
    let mut last: BTreeMap<AccountNumber, &RecordedEvent> = BTreeMap::new();
    for event in page.events {
        match &event.event {
            Event::CommandRejected(_) => continue, // a refusal changes nothing
            Event::AccountOpened { opening, .. } => {
                if let Some(owner_id) = opening.owner_id.clone() {
                    changes
                        .push(Change::Owned { owner_id, account_id: opening.account_id.clone() });
                }
            }
            Event::MoneyDeposited(_)
            | Event::MoneyWithdrawn(_)
            | Event::BillPaid(_)
            | Event::TransferSent(_)
            | Event::TransferReceived(_)
            | Event::OverdraftLimitSet { .. }
            | Event::AccountFrozen
            | Event::AccountUnfrozen
            | Event::AccountClosed => {}
        }
        last.insert(event.account, event);
    }
    for event in last.into_values() {
        let opened = page.opened(event)?;
        changes.push(Change::Account(AccountView {
            number: event.account,
            opening: opened.opening.clone(),
            state: event.state,
            position: event.position,
            opened_at: opened.opened_at,
            updated_at: event.recorded_at,
        }));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use ledger::{Operation, Rejection, event::RejectedCommand};

    use super::*;
    use crate::projection::{Projection, given};

    fn accounts(changes: &[Change]) -> Vec<(i32, ledger::AccountState, i64)> {
        let view = |change: &Change| match change {
            Change::Account(view) => Some((view.number.get(), view.state, view.position.get())),
            _ => None,
        };
        changes.iter().filter_map(view).collect()
    }

    #[test]
    fn an_account_is_stored_once_per_page_as_it_stands_at_its_end() {
        let mut log = given::Log::new();
        log.open(1).open(2).happens(1, given::deposit(50)).transfer(1, 2, 20);
        let changes = log.fold(&mut Projection::Accounts);
        let expected = [(1, given::state(3, 30), 4), (2, given::state(2, 20), 5)];
        assert_eq!(accounts(&changes), expected);
        let owned = changes.iter().filter(|change| matches!(change, Change::Owned { .. }));
        assert_eq!(owned.count(), 2);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let mut log = given::Log::new();
        let refused = Event::CommandRejected(Box::new(RejectedCommand {
            operation: Operation::CloseAccount,
            expected_version: None,
            rejection: Rejection::BalanceNotZero { balance: 50 },
        }));
        log.open(1).happens(1, given::deposit(50)).happens(1, refused);
        let changes = log.fold(&mut Projection::Accounts);
        assert_eq!(accounts(&changes), [(1, given::state(2, 50), 2)]);
    }

    #[test]
    fn an_event_of_an_account_that_was_never_opened_is_impossible() {
        let mut log = given::Log::new();
        log.open(1).happens(1, given::deposit(50));
        log.openings.clear();
        let page = EventPage { events: &log.events, openings: &log.openings };
        assert!(fold(&page).is_err());
    }
}

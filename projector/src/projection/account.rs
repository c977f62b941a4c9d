//! Accounts: every account as it stands, and the accounts of every owner.

use event_store::{OpenedAccount, RecordedEvent};
use ledger::{AccountNumber, AccountState, Event, Position, Timestamp};
use read_model::{AccountView, Change};

use super::opening_bytes;
use crate::log::ByAccount;

/// Only the last event of each account counts: every row of the log carries the whole state.
#[derive(Default)]
pub(crate) struct Gathered {
    last: ByAccount<Standing>,
    /// Accounts that some owner got.
    owned: Vec<AccountNumber>,
    openings_bytes: usize,
}

/// An account as it stands.
struct Standing {
    opened: OpenedAccount,
    state: AccountState,
    position: Position,
    updated_at: Timestamp,
}

impl Gathered {
    pub(super) fn add(&mut self, event: &RecordedEvent, opened: &OpenedAccount) {
        match &event.event {
            Event::CommandRejected(_) => return, // a refusal changes nothing
            Event::AccountOpened { opening, .. } => {
                if opening.owner_id.is_some() {
                    self.owned.push(event.account);
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
        let (state, position, updated_at) = (event.state, event.position, event.recorded_at);
        let last = self.last.entry(event.account).or_insert_with(|| {
            self.openings_bytes += opening_bytes(&opened.opening);
            let opened = opened.clone();
            Standing { opened, state, position, updated_at }
        });
        (last.state, last.position, last.updated_at) = (state, position, updated_at);
    }

    pub(super) fn bytes(&self) -> usize {
        // A table is kept at most seven eighths full.
        self.last.len() * (size_of::<(AccountNumber, Standing)>() * 8 / 7 + 8)
            + self.owned.len() * size_of::<Change>()
            + self.openings_bytes
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> + Send {
        let owned = |number: &AccountNumber| {
            let opening = &self.last.get(number)?.opened.opening;
            let owner_id = opening.owner_id.clone()?;
            Some(Change::Owned { owner_id, account_id: opening.account_id.clone() })
        };
        let owned: Vec<_> = self.owned.iter().filter_map(owned).collect();
        let mut last: Vec<_> = self.last.into_iter().collect();
        last.sort_unstable_by_key(|(number, _)| *number);
        let accounts = last.into_iter().map(|(number, standing)| {
            let Standing { opened, state, position, updated_at } = standing;
            let OpenedAccount { opening, opened_at } = opened;
            Change::Account(AccountView { number, opening, state, position, opened_at, updated_at })
        });
        owned.into_iter().chain(accounts)
    }
}

#[cfg(test)]
mod tests {
    use ledger::{Operation, Rejection, event::RejectedCommand};

    use super::*;
    use crate::projection::{EventPage, Projection, given};

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
    fn what_an_opening_keeps_in_memory_counts() {
        let mut log = given::Log::new();
        log.open(1);
        let bytes = |log: &given::Log| {
            let mut gathered = Gathered::default();
            for event in &log.events {
                gathered.add(event, &log.openings[&event.account]);
            }
            gathered.bytes()
        };
        let without = bytes(&log);
        let opened = log.openings.values_mut().next().unwrap();
        let labels = (0..32).map(|label| (format!("{label:064}"), "x".repeat(256))).collect();
        let opening = ledger::Opening { labels, ..(*opened.opening).clone() };
        opened.opening = std::sync::Arc::new(opening);
        assert!(bytes(&log) > without + 32 * (64 + 256));
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
        assert!(Projection::Accounts.fold(&page).is_err());
    }
}

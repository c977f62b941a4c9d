//! Transactions: every account's statement, its newest entry, and every transaction by its id.
//!
//! An entry's number is the account's version at it, which the log gives: there is no counter to read. A
//! version that moved no money gets a place all the same, so that a hole in a statement can be seen.

use std::collections::BTreeMap;

use event_store::RecordedEvent;
use ledger::{AccountNumber, Event, StreamVersion, Text};
use read_model::{Change, EntryKind, StatementEntry, StatementHeader, dropped_blocks, oldest_kept};

use super::{EventPage, ImpossibleEvent};

pub(super) fn fold(page: &EventPage<'_>, entries_max: u32) -> Result<Vec<Change>, ImpossibleEvent> {
    let mut by_account: BTreeMap<AccountNumber, Vec<&RecordedEvent>> = BTreeMap::new();
    let mut changes = Vec::with_capacity(page.events.len() * 3);
    for event in page.events {
        if !matches!(event.event, Event::CommandRejected(_)) {
            by_account.entry(event.account).or_default().push(event);
        }
        let id = event.transaction_id();
        let begins_transaction = (id.shard, id.position) == (event.shard, event.position);
        if begins_transaction && statement_entry(event).is_some() {
            changes.push(Change::Indexed {
                position: event.position,
                account_id: page.opened(event)?.opening.account_id.clone(),
                version: event.state.version,
            });
        }
    }
    // Account by account, so that the entries of one block are neighbours and become one write.
    for events in by_account.values() {
        fold_account(page, events, entries_max, &mut changes)?;
    }
    Ok(changes)
}

fn fold_account(
    page: &EventPage<'_>,
    events: &[&RecordedEvent],
    entries_max: u32,
    changes: &mut Vec<Change>,
) -> Result<(), ImpossibleEvent> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
    let opening = &page.opened(last)?.opening;
    let account_id = || opening.account_id.clone();
    let mut latest = None;
    for event in events {
        let version = event.state.version;
        match statement_entry(event) {
            Some(entry) => {
                changes.push(Change::Entry { account_id: account_id(), entry: entry.clone() });
                latest = Some(entry);
            }
            None => changes.push(Change::NoEntry { account_id: account_id(), version }),
        }
    }
    if let Some(entry) = latest {
        changes.push(Change::Latest { account_id: account_id(), entry });
    }
    let version = last.state.version;
    let header = StatementHeader {
        number: last.account,
        currency: opening.currency,
        version,
        oldest: oldest_kept(version, entries_max),
        position: last.position,
    };
    changes.push(Change::Header { account_id: account_id(), header });
    // Behind the entries: a page may both fill a block and outgrow it.
    let before = StreamVersion::new(first.state.version.get() - 1).unwrap_or(StreamVersion::FIRST);
    for block in dropped_blocks(before, version, entries_max) {
        changes.push(Change::BlockDropped { account_id: account_id(), block });
    }
    Ok(())
}

/// The line that an event is on its account's statement, if it moved money.
pub(crate) fn statement_entry(event: &RecordedEvent) -> Option<StatementEntry> {
    let (kind, amount, reference, effective_at) = match &event.event {
        Event::MoneyDeposited(entry) => {
            (EntryKind::Deposit, entry.amount, &entry.reference, entry.effective_at)
        }
        Event::MoneyWithdrawn(entry) => {
            (EntryKind::Withdrawal, entry.amount, &entry.reference, entry.effective_at)
        }
        Event::BillPaid(entry) => {
            (EntryKind::BillPayment, entry.amount, &entry.reference, entry.effective_at)
        }
        Event::TransferSent(entry) => {
            (EntryKind::TransferSent, entry.amount, &entry.reference, entry.effective_at)
        }
        Event::TransferReceived(entry) => {
            (EntryKind::TransferReceived, entry.amount, &entry.reference, entry.effective_at)
        }
        Event::AccountOpened { .. }
        | Event::OverdraftLimitSet { .. }
        | Event::AccountFrozen
        | Event::AccountUnfrozen
        | Event::AccountClosed
        | Event::CommandRejected(_) => return None,
    };
    Some(StatementEntry {
        version: event.state.version,
        position: event.position,
        transaction_id: event.transaction_id(),
        kind,
        amount,
        balance_after: event.state.balance,
        reference: reference.clone(),
        counterparty: counterparty(&event.event),
        effective_at,
        recorded_at: event.recorded_at,
    })
}

fn counterparty(event: &Event) -> Option<Text> {
    match event {
        Event::MoneyDeposited(entry) | Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
            entry.counterparty.clone()
        }
        // An account id is always a text.
        Event::TransferSent(entry) | Event::TransferReceived(entry) => {
            Text::new(entry.peer.as_str()).ok()
        }
        Event::AccountOpened { .. }
        | Event::OverdraftLimitSet { .. }
        | Event::AccountFrozen
        | Event::AccountUnfrozen
        | Event::AccountClosed
        | Event::CommandRejected(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{Projection, given};

    const ALL: Projection = Projection::Transactions { entries_max: 0 };

    #[test]
    fn every_version_has_a_place_on_the_statement() {
        let mut log = given::Log::new();
        log.open(1).happens(1, given::deposit(50)).happens(1, Event::AccountFrozen);
        let mut places = Vec::new();
        for change in log.fold(&mut ALL.clone()) {
            match change {
                Change::Entry { entry, .. } => places.push((entry.version.get(), true)),
                Change::NoEntry { version, .. } => places.push((version.get(), false)),
                Change::Latest { entry, .. } => assert_eq!(entry.version.get(), 2),
                Change::Header { header, .. } => assert_eq!(header.version.get(), 3),
                Change::Indexed { position, .. } => assert_eq!(position.get(), 2),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(places, [(1, false), (2, true), (3, false)]);
    }

    #[test]
    fn both_sides_of_a_transfer_are_one_transaction_and_the_source_is_found_by_its_id() {
        let mut log = given::Log::new();
        log.open(1).open(2).happens(1, given::deposit(50)).transfer(1, 2, 20);
        let [sent, received] = [3, 4].map(|at| statement_entry(&log.events[at]).unwrap());
        assert_eq!(sent.transaction_id, received.transaction_id);
        assert_eq!(
            (sent.kind, received.kind),
            (EntryKind::TransferSent, EntryKind::TransferReceived)
        );
        assert_eq!(sent.counterparty.unwrap().as_str(), "account-2");
        assert_eq!((sent.balance_after, received.balance_after), (30, 20));
        let indexed: Vec<i64> = log
            .fold(&mut ALL.clone())
            .iter()
            .filter_map(|change| match change {
                Change::Indexed { position, .. } => Some(position.get()),
                _ => None,
            })
            .collect();
        assert_eq!(indexed, [3, 4], "the deposit and the transfer's first event");
    }

    #[test]
    fn however_the_log_is_cut_into_pages_the_same_is_kept() {
        let mut log = given::Log::new();
        log.open(1);
        for _ in 0..300 {
            log.happens(1, given::deposit(1));
        }
        for entries_max in [0, 1, 64, 100] {
            let mut projection = Projection::Transactions { entries_max };
            let whole = kept(log.fold(&mut projection));
            let pieces = kept(log.fold_one_by_one(&mut projection));
            assert!(whole == pieces, "{entries_max}: {:?} {:?}", whole.keys(), pieces.keys());
            let version = log.events.last().unwrap().state.version;
            let oldest = oldest_kept(version, entries_max).get();
            assert_eq!(
                whole.keys().copied().collect::<Vec<_>>(),
                (oldest..=301).collect::<Vec<_>>()
            );
        }
    }

    /// Versions that are left when the changes are stored in their order.
    fn kept(changes: Vec<Change>) -> BTreeMap<i64, Change> {
        let mut kept = BTreeMap::new();
        for change in changes {
            match &change {
                Change::Entry { entry, .. } => _ = kept.insert(entry.version.get(), change),
                Change::NoEntry { version, .. } => _ = kept.insert(version.get(), change),
                Change::BlockDropped { block, .. } => {
                    kept.retain(|version, _| version / 64 != *block);
                }
                _ => {}
            }
        }
        kept
    }
}

//! Transactions: every account's statement, its newest entry, and every transaction by its id.
//!
//! An entry's number is the account's version at it, which the log gives: there is no counter to read. A
//! version that moved no money gets a place all the same, so that a hole in a statement can be seen.

use std::sync::Arc;

use event_store::{OpenedAccount, RecordedEvent};
use ledger::{AccountNumber, Event, Opening, Position, StreamVersion, Text};
use read_model::{
    Change, EntryKind, PackedEntry, StatementEntry, StatementHeader, dropped_blocks, oldest_kept,
};

use super::opening_bytes;
use crate::log::ByAccount;

/// Lines, and how far the statements go that they are on.
pub(crate) struct Gathered {
    entries_max: u32,
    statements: ByAccount<Statement>,
    lines: Vec<Line>,
    opened: Vec<AccountNumber>,
    indexed: Vec<Indexed>,
    packed_bytes: usize,
    openings_bytes: usize,
}

/// How far a statement goes.
struct Statement {
    opening: Arc<Opening>,
    first: StreamVersion,
    version: StreamVersion,
    position: Position,
}

/// A version of an account, with its entry if it moved money.
struct Line {
    account: AccountNumber,
    version: StreamVersion,
    entry: Option<PackedEntry>,
}

/// Where the entry of a transaction stands.
struct Indexed {
    position: Position,
    account: AccountNumber,
    version: StreamVersion,
}

impl Gathered {
    pub(super) fn new(entries_max: u32) -> Self {
        Self {
            entries_max,
            statements: ByAccount::default(),
            lines: Vec::new(),
            opened: Vec::new(),
            indexed: Vec::new(),
            packed_bytes: 0,
            openings_bytes: 0,
        }
    }

    pub(super) fn add(&mut self, event: &RecordedEvent, opened: &OpenedAccount) {
        if matches!(event.event, Event::CommandRejected(_)) {
            return;
        }
        let (account, position, version) = (event.account, event.position, event.state.version);
        let statement = self.statements.entry(account).or_insert_with(|| {
            self.openings_bytes += opening_bytes(&opened.opening);
            let opening = opened.opening.clone();
            Statement { opening, first: version, version, position }
        });
        (statement.version, statement.position) = (version, position);
        if matches!(event.event, Event::AccountOpened { .. }) {
            self.opened.push(account);
        }
        let entry = statement_entry(event).map(|entry| entry.pack(event.shard));
        if let Some(entry) = &entry {
            self.packed_bytes += entry.as_bytes().len();
            let id = event.transaction_id();
            if (id.shard, id.position) == (event.shard, position) {
                self.indexed.push(Indexed { position, account, version });
            }
        }
        self.lines.push(Line { account, version, entry });
    }

    pub(super) fn bytes(&self) -> usize {
        let statements = size_of::<(AccountNumber, Statement)>() * 8 / 7 + 8;
        self.statements.len() * statements
            + self.lines.len() * size_of::<Line>()
            + self.opened.len() * size_of::<AccountNumber>()
            + self.indexed.len() * size_of::<Indexed>()
            + self.packed_bytes
            + self.openings_bytes
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> + Send {
        let Self { entries_max, statements, mut lines, opened, indexed, .. } = self;
        let ids = opened.into_iter().filter_map(|number| {
            let account_id = statements.get(&number)?.opening.account_id.clone();
            Some(Change::Numbered { number, account_id })
        });
        let ids = ids.collect::<Vec<_>>().into_iter();
        let indexed = indexed.into_iter().map(|Indexed { position, account, version }| {
            Change::Indexed { position, account, version }
        });
        // Account by account, so that the entries of one block are neighbours and become one write.
        lines.sort_unstable_by_key(|line| (line.account, line.version));
        let mut lines = lines.into_iter().peekable();
        let mut latest = None;
        let mut at_end = Vec::new().into_iter();
        let by_account = std::iter::from_fn(move || {
            if let Some(change) = at_end.next() {
                return Some(change);
            }
            let Line { account, version, entry } = lines.next()?;
            let statement = statements.get(&account)?;
            let next = lines.peek().filter(|next| next.account == account);
            if let Some(entry) = &entry
                && next.is_none_or(|next| next.entry.is_none())
            {
                latest = Some((version, entry.clone()));
            }
            if next.is_none() {
                at_end = statement.end(account, latest.take(), entries_max).into_iter();
            }
            let account_id = statement.opening.account_id.clone();
            Some(match entry {
                Some(entry) => Change::Entry { account_id, version, entry },
                None => Change::NoEntry { account_id, version },
            })
        });
        ids.chain(indexed).chain(by_account)
    }
}

impl Statement {
    /// What is stored once, behind all of its lines.
    fn end(
        &self,
        number: AccountNumber,
        latest: Option<(StreamVersion, PackedEntry)>,
        entries_max: u32,
    ) -> Vec<Change> {
        let Self { opening, first, version, position } = self;
        let (version, position) = (*version, *position);
        let account_id = || opening.account_id.clone();
        let oldest = oldest_kept(version, entries_max);
        let header =
            StatementHeader { number, currency: opening.currency, version, oldest, position };
        let mut changes = vec![match latest {
            Some((version, entry)) => {
                Change::Latest { account_id: account_id(), header, version, entry }
            }
            None => Change::Header { account_id: account_id(), header },
        }];
        // Behind the entries: the same events may both fill a block and outgrow it.
        let before = StreamVersion::new(first.get() - 1).unwrap_or(StreamVersion::FIRST);
        for block in dropped_blocks(before, version, entries_max) {
            changes.push(Change::BlockDropped { account_id: account_id(), block });
        }
        changes
    }
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
    use std::collections::BTreeMap;

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
                Change::Entry { version, .. } => places.push((version.get(), true)),
                Change::NoEntry { version, .. } => places.push((version.get(), false)),
                Change::Latest { header, version, .. } => {
                    assert_eq!((header.version.get(), version.get()), (3, 2));
                }
                Change::Numbered { number, .. } => assert_eq!(number.get(), 1),
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
                Change::Entry { version, .. } | Change::NoEntry { version, .. } => {
                    kept.insert(version.get(), change);
                }
                Change::BlockDropped { block, .. } => {
                    kept.retain(|version, _| version / 64 != *block);
                }
                _ => {}
            }
        }
        kept
    }
}

//! What a projector would store for what happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{
    AccountId, AccountNumber, AccountState, Currency, Opening, OwnerId, Position, Shard, Status,
    StreamVersion, Timestamp,
};
use read_model::{AccountView, Change, CurrencyTotals, EntryKind, StatementEntry, StatementHeader};

/// 2026-01-01: when the log begins; every event is a second later than the one before.
const BEGAN_AT_MICROS: i64 = 1_767_225_600_000_000;

pub(crate) fn time_of(position: Position) -> Timestamp {
    Timestamp::from_micros(BEGAN_AT_MICROS + position.get() * 1_000_000).unwrap()
}

pub(crate) fn opened(
    id: &AccountId,
    owner: &str,
    currency: &str,
    number: AccountNumber,
    (position, at): (Position, Timestamp),
) -> AccountView {
    let opening = Opening {
        account_id: id.clone(),
        owner_id: (!owner.is_empty()).then(|| OwnerId::new(owner).unwrap()),
        currency: Currency::new(currency).unwrap(),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
    };
    let state = AccountState {
        version: StreamVersion::FIRST,
        balance: 0,
        held: 0,
        overdraft_limit: 0,
        status: Status::Open,
    };
    let opening = Arc::new(opening);
    AccountView { number, opening, state, position, opened_at: at, updated_at: at }
}

pub(crate) fn account_changes(view: &AccountView) -> Vec<Change> {
    let mut changes = vec![Change::Account(view.clone())];
    if let (Some(owner_id), StreamVersion::FIRST) = (&view.opening.owner_id, view.state.version) {
        let (owner_id, account_id) = (owner_id.clone(), view.opening.account_id.clone());
        changes.push(Change::Owned { owner_id, account_id });
    }
    changes
}

pub(crate) fn statement_changes(
    shard: Shard,
    view: &AccountView,
    oldest: StreamVersion,
    entry: Option<StatementEntry>,
) -> Vec<Change> {
    let account_id = view.opening.account_id.clone();
    let (currency, version) = (view.opening.currency, view.state.version);
    let (number, position) = (view.number, view.position);
    let header = StatementHeader { number, currency, version, oldest, position };
    let mut changes = Vec::new();
    if version == StreamVersion::FIRST {
        changes.push(Change::Numbered { number, account_id: account_id.clone() });
    }
    match entry {
        None => {
            changes.push(Change::Header { account_id: account_id.clone(), header });
            changes.push(Change::NoEntry { account_id, version });
        }
        Some(entry) => {
            // Only the source's side of a transfer is found by the transaction's id.
            if entry.kind != EntryKind::TransferReceived {
                changes.push(Change::Indexed { position, account: number, version });
            }
            let packed = entry.pack(shard);
            let (version, entry) = (entry.version, packed.clone());
            changes.push(Change::Latest { account_id: account_id.clone(), header, version, entry });
            changes.push(Change::Entry { account_id, version, entry: packed });
        }
    }
    changes
}

pub(crate) fn add(totals: &mut CurrencyTotals, kind: EntryKind, amount: i128) {
    let sum = match kind {
        EntryKind::Deposit => &mut totals.deposits,
        EntryKind::Withdrawal | EntryKind::BillPayment => &mut totals.withdrawals,
        EntryKind::TransferSent => &mut totals.sent,
        EntryKind::TransferReceived => &mut totals.received,
    };
    *sum += amount;
    totals.balances += if kind.is_credit() { amount } else { -amount };
}

//! What a generation of a view has to hold, worked out from the rows of the log and the model's replay. Only the packing of single
//! values is the product's own; what is stored where and why is said here once more.

use std::collections::BTreeMap;

use event_store::RecordedEvent;
use ledger::{
    AccountId, AccountNumber, AccountState, Currency, Event, LogId, Shard, StreamVersion, Timestamp,
};
use read_model::{
    AccountView, Change, Checkpoint, CurrencyTotals, EntryKind, GenerationKeys, Place, ShardTotals,
    StatementEntry, StatementHeader, View,
};

use super::Stored;
use crate::{
    model::{Account, Status},
    oracles::Evidence,
};

/// What is said once of an account.
struct Opened<'a> {
    opening: &'a std::sync::Arc<ledger::Opening>,
    at: Timestamp,
}

/// Everything that has to be below a generation's keys.
pub(super) fn generation(
    evidence: &Evidence,
    view: View,
    shard: Shard,
    keys: &GenerationKeys,
) -> BTreeMap<String, Stored> {
    let events = || evidence.log.events.iter().filter(move |event| event.shard == shard);
    let mut expected = BTreeMap::new();
    let checkpoint = checkpoint(evidence, shard, events().next_back());
    expected.insert(keys.checkpoint(), Stored::Text(checkpoint.encode()));
    let mut totals = ShardTotals::default();
    let mut opened: BTreeMap<AccountNumber, Opened<'_>> = BTreeMap::new();
    for event in events() {
        if let Event::AccountOpened { opening, .. } = &event.event {
            opened.insert(event.account, Opened { opening, at: event.recorded_at });
        }
        let Some(account) = opened.get(&event.account) else { continue };
        match view {
            View::Accounts => account_changes(evidence, event, account),
            View::Transactions => statement_changes(evidence, event, account),
            View::Totals => {
                add_to_totals(&mut totals, event, account.opening.currency);
                Vec::new()
            }
        }
        .iter()
        .for_each(|change| put(&mut expected, keys, change));
    }
    if view == View::Totals && !totals.currencies.is_empty() {
        put(&mut expected, keys, &Change::Totals(totals));
    }
    expected
}

/// Later changes at the same place win.
fn put(expected: &mut BTreeMap<String, Stored>, keys: &GenerationKeys, change: &Change) {
    let bytes = change.bytes().unwrap_or_default();
    match change.place(keys) {
        Place::Text { key } => _ = expected.insert(key, Stored::Text(bytes)),
        Place::Range { key, start, length } => {
            let text = expected.entry(key).or_insert_with(|| Stored::Text(Vec::new()));
            if let Stored::Text(text) = text {
                text.resize(text.len().max(start + length), 0);
                text[start..start + length].copy_from_slice(&bytes);
            }
        }
        Place::Field { key, field } => {
            let fields = expected.entry(key).or_insert_with(|| Stored::Fields(BTreeMap::new()));
            if let Stored::Fields(fields) = fields {
                fields.insert(field.to_string().into_bytes(), bytes);
            }
        }
        Place::Member { key, member } => {
            let members = expected.entry(key).or_insert_with(|| Stored::Members(BTreeMap::new()));
            if let Stored::Members(members) = members {
                members.insert(member, 0_f64.to_bits());
            }
        }
        Place::Hash { .. } => unreachable!("all entries are kept"),
        Place::Stray { .. } | Place::WrongType { .. } => unreachable!("no change is stored there"),
    }
}

fn checkpoint(evidence: &Evidence, shard: Shard, last: Option<&RecordedEvent>) -> Checkpoint {
    let end = evidence.log.ends[&shard];
    Checkpoint {
        log_id: LogId(evidence.log.log_id),
        position: end.position,
        hash: end.hash,
        recorded_at: last.map(|event| event.recorded_at),
        entries_max: 0,
    }
}

/// The account after an event, as the model has it.
fn replayed<'a>(
    evidence: &'a Evidence,
    id: &AccountId,
    event: &RecordedEvent,
) -> Option<&'a Account> {
    evidence.replay.lives.get(id.as_str())?.at(event.position.get())
}

fn is_refusal(event: &RecordedEvent) -> bool {
    matches!(event.event, Event::CommandRejected(_))
}

fn account_changes(evidence: &Evidence, event: &RecordedEvent, opened: &Opened<'_>) -> Vec<Change> {
    let id = &opened.opening.account_id;
    let Some(account) = replayed(evidence, id, event).filter(|_| !is_refusal(event)) else {
        return Vec::new();
    };
    let status = match account.status {
        Status::Open => ledger::Status::Open,
        Status::Frozen => ledger::Status::Frozen,
        Status::Closed => ledger::Status::Closed,
    };
    let Account { balance, limit: overdraft_limit, .. } = *account;
    let version = StreamVersion::new(account.version).unwrap();
    let mut changes = vec![Change::Account(AccountView {
        number: event.account,
        opening: opened.opening.clone(),
        state: AccountState { version, balance, held: 0, overdraft_limit, status },
        position: event.position,
        opened_at: opened.at,
        updated_at: event.recorded_at,
    })];
    if let Some(owner_id) = opened.opening.owner_id.clone() {
        changes.push(Change::Owned { owner_id, account_id: id.clone() });
    }
    changes
}

fn statement_changes(
    evidence: &Evidence,
    event: &RecordedEvent,
    opened: &Opened<'_>,
) -> Vec<Change> {
    let account_id = opened.opening.account_id.clone();
    let Some(account) = replayed(evidence, &account_id, event).filter(|_| !is_refusal(event))
    else {
        return Vec::new();
    };
    let version = StreamVersion::new(account.version).unwrap();
    let header = StatementHeader {
        number: event.account,
        currency: opened.opening.currency,
        version,
        oldest: StreamVersion::FIRST,
        position: event.position,
    };
    let mut changes = Vec::new();
    if matches!(event.event, Event::AccountOpened { .. }) {
        let (number, account_id) = (event.account, account_id.clone());
        changes.push(Change::Numbered { number, account_id });
    }
    let Some(entry) = entry(event, version, account.balance) else {
        changes.push(Change::Header { account_id: account_id.clone(), header });
        changes.push(Change::NoEntry { account_id, version });
        return changes;
    };
    if entry.kind != EntryKind::TransferReceived {
        // A transfer is found at its source.
        let (position, account) = (event.position, event.account);
        changes.push(Change::Indexed { position, account, version });
    }
    let entry = entry.pack(event.shard);
    let of = account_id.clone();
    changes.push(Change::Latest { account_id: of, header, version, entry: entry.clone() });
    changes.push(Change::Entry { account_id, version, entry });
    changes
}

/// The line of a statement that an event is, if it moved money.
fn entry(
    event: &RecordedEvent,
    version: StreamVersion,
    balance_after: i64,
) -> Option<StatementEntry> {
    let text = |id: &AccountId| ledger::Text::new(id.as_str()).ok();
    let (kind, amount, reference, counterparty, effective_at) = match &event.event {
        Event::MoneyDeposited(e) => {
            (EntryKind::Deposit, e.amount, &e.reference, e.counterparty.clone(), e.effective_at)
        }
        Event::MoneyWithdrawn(e) => {
            (EntryKind::Withdrawal, e.amount, &e.reference, e.counterparty.clone(), e.effective_at)
        }
        Event::BillPaid(e) => {
            (EntryKind::BillPayment, e.amount, &e.reference, e.counterparty.clone(), e.effective_at)
        }
        Event::TransferSent(e) => {
            (EntryKind::TransferSent, e.amount, &e.reference, text(&e.peer), e.effective_at)
        }
        Event::TransferReceived(e) => {
            (EntryKind::TransferReceived, e.amount, &e.reference, text(&e.peer), e.effective_at)
        }
        Event::AccountOpened { .. }
        | Event::OverdraftLimitSet { .. }
        | Event::AccountFrozen
        | Event::AccountUnfrozen
        | Event::AccountClosed
        | Event::CommandRejected(_) => return None,
    };
    Some(StatementEntry {
        version,
        position: event.position,
        transaction_id: event.transaction_id(),
        kind,
        amount,
        balance_after,
        reference: reference.clone(),
        counterparty,
        effective_at,
        recorded_at: event.recorded_at,
    })
}

fn add_to_totals(totals: &mut ShardTotals, event: &RecordedEvent, currency: Currency) {
    let of_currency =
        totals.currencies.entry(currency).or_insert_with(|| CurrencyTotals::zero(currency));
    let units = |amount: ledger::Amount| i128::from(amount.minor_units());
    match &event.event {
        Event::AccountOpened { .. } => of_currency.accounts += 1,
        Event::MoneyDeposited(entry) => {
            of_currency.deposits += units(entry.amount);
            of_currency.balances += units(entry.amount);
        }
        Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
            of_currency.withdrawals += units(entry.amount);
            of_currency.balances -= units(entry.amount);
        }
        Event::TransferSent(entry) => {
            of_currency.sent += units(entry.amount);
            of_currency.balances -= units(entry.amount);
        }
        Event::TransferReceived(entry) => {
            of_currency.received += units(entry.amount);
            of_currency.balances += units(entry.amount);
        }
        _ => return,
    }
    totals.position = Some(event.position);
}

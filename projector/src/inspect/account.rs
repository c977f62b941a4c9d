//! Every account of the log has its value, and its owner has it.

use event_store::{AccountRecord, LogReader};
use ledger::{AccountNumber, Shard};
use read_model::{AccountView, Change};

use super::{CHUNK_ACCOUNTS, Findings, Target};
use crate::error::Stop;

/// The ids of the next accounts by number.
pub(super) async fn next_accounts(
    log: &LogReader,
    shard: Shard,
    after: Option<AccountNumber>,
) -> Result<Vec<(AccountNumber, event_store::OpenedAccount)>, Stop> {
    let first = after.map_or(0, AccountNumber::get).saturating_add(1);
    let last = first.saturating_add(CHUNK_ACCOUNTS.saturating_sub(1));
    let numbers: Vec<_> = (first..=last).filter_map(AccountNumber::new).collect();
    let mut opened: Vec<_> = log.openings(shard, &numbers).await?.into_iter().collect();
    opened.sort_unstable_by_key(|(number, _)| number.get());
    Ok(opened)
}

/// How the accounts of a chunk stood at a position.
pub(super) async fn records_at(
    log: &LogReader,
    shard: Shard,
    after: Option<AccountNumber>,
    position: ledger::Position,
) -> Result<Vec<AccountRecord>, Stop> {
    Ok(log.accounts_after(shard, after, position, CHUNK_ACCOUNTS).await?)
}

/// Compares the next accounts after a number with the log. `None`: there are no more.
pub(crate) async fn check_accounts(
    log: &LogReader,
    target: &Target,
    after: Option<AccountNumber>,
) -> Result<Option<(AccountNumber, Findings)>, Stop> {
    let accounts = next_accounts(log, target.shard, after).await?;
    let Some((last, _)) = accounts.last() else { return Ok(None) };
    let keys = target.stored.keys();
    let mut places = Vec::with_capacity(accounts.len() * 2);
    for (_, opened) in &accounts {
        let account_id = opened.opening.account_id.clone();
        places.push(read_model::Place::Text { key: keys.account(&account_id) });
        if let Some(owner_id) = opened.opening.owner_id.clone() {
            places.push(target.place(&Change::Owned { owner_id, account_id }));
        }
    }
    let (seen, observed) = target.observe(&places).await?;
    target.await_log(log, &seen).await?;
    let records = records_at(log, target.shard, after, seen.position).await?;
    let mut right = Vec::with_capacity(places.len());
    for (number, opened) in &accounts {
        // An account that was opened behind the checkpoint is not there yet.
        let record = records.iter().find(|record| record.number == *number);
        right.push(record.map(|record| view_of(record).encode()));
        if opened.opening.owner_id.is_some() {
            right.push(record.map(|_| Vec::new()));
        }
    }
    let mut findings = target.compare(seen, &places, &observed.values, &right);
    findings.read += rows(accounts.len() + records.len());
    Ok(Some((*last, findings)))
}

/// Rows of the log that were read, as they are counted.
pub(super) fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn view_of(record: &AccountRecord) -> AccountView {
    AccountView {
        number: record.number,
        opening: record.opening.clone(),
        state: record.state,
        position: record.position,
        opened_at: record.opened_at,
        updated_at: record.recorded_at,
    }
}

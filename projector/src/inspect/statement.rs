//! Every account of the log has a statement that goes as far as it should, and the newest entry beside it.

use std::collections::HashMap;

use event_store::{AccountRecord, LogReader};
use ledger::{AccountNumber, Position, Shard, StreamVersion};
use read_model::{Change, Place, StatementEntry, StatementHeader, oldest_kept};

use super::{
    Findings, Target,
    account::{next_accounts, records_at, rows},
};
use crate::{error::Stop, projection::statement_entry};

/// Versions asked for at once on the way back to the last one that moved money, at first and at most: each step is
/// twice the one before. Mostly it is the newest.
const STEP_VERSIONS: i64 = 2;
const STEP_VERSIONS_MAX: i64 = 64;

/// Compares the statements' headers and newest entries of the next accounts after a number with the log.
/// `None`: there are no more.
pub(crate) async fn check_statements(
    log: &LogReader,
    target: &Target,
    after: Option<AccountNumber>,
) -> Result<Option<(AccountNumber, Findings)>, Stop> {
    let accounts = next_accounts(log, target.shard, after).await?;
    let Some((last, _)) = accounts.last() else { return Ok(None) };
    let keys = target.stored.keys();
    let places: Vec<_> = accounts
        .iter()
        .map(|(_, opened)| Place::Text { key: keys.header(&opened.opening.account_id) })
        .collect();
    let (seen, observed) = target.observe(&places).await?;
    target.await_log(log, &seen).await?;
    let records = records_at(log, target.shard, after, seen.position).await?;
    let (latest, rows_read) = latest_entries(log, target.shard, &records).await?;
    let mut right = Vec::with_capacity(places.len());
    for (number, opened) in &accounts {
        let record = records.iter().find(|record| record.number == *number);
        right.push(record.and_then(|record| {
            let account_id = opened.opening.account_id.clone();
            let header = StatementHeader {
                number: *number,
                currency: opened.opening.currency,
                version: record.state.version,
                oldest: oldest_kept(record.state.version, seen.entries_max),
                position: record.position,
            };
            let change = match latest.get(number) {
                Some(entry) => {
                    let (version, entry) = (entry.version, entry.pack(target.shard));
                    Change::Latest { account_id, header, version, entry }
                }
                None => Change::Header { account_id, header },
            };
            change.bytes()
        }));
    }
    let mut findings = target.compare(seen, &places, &observed.values, &right);
    findings.read += rows(accounts.len() + records.len()) + rows_read;
    Ok(Some((*last, findings)))
}

/// The newest entry of each account at its record, and how many rows of the log were read to find them.
///
/// Every entry changes the balance and nothing else does, so the last version whose balance differs from the
/// one before is the entry.
async fn latest_entries(
    log: &LogReader,
    shard: Shard,
    records: &[AccountRecord],
) -> Result<(HashMap<AccountNumber, StatementEntry>, u64), Stop> {
    let mut step = STEP_VERSIONS;
    let mut rows_read = 0;
    let mut positions: Vec<Position> = Vec::new();
    let mut open: Vec<(AccountNumber, StreamVersion)> =
        records.iter().map(|record| (record.number, record.state.version)).collect();
    while !open.is_empty() {
        let wanted = open.iter().flat_map(|(number, version)| {
            let first = version.get().saturating_sub(step).max(1);
            let versions = (first..=version.get()).filter_map(StreamVersion::new);
            versions.map(|version| (*number, version))
        });
        let states = log.states_at(shard, &wanted.collect::<Vec<_>>()).await?;
        rows_read += rows(states.len());
        step = (step * 2).min(STEP_VERSIONS_MAX);
        let states: HashMap<_, _> =
            states.iter().map(|state| ((state.number, state.state.version), state)).collect();
        let mut further = Vec::new();
        for (number, version) in open {
            match last_movement(&states, number, version) {
                Found::At(position) => positions.push(position),
                Found::NotYet(version) => further.push((number, version)),
                Found::Never => {}
            }
        }
        open = further;
    }
    let events = log.events_at(shard, &positions).await?;
    let entries = events.iter().filter_map(|event| Some((event.account, statement_entry(event)?)));
    Ok((entries.collect(), rows_read + rows(events.len())))
}

enum Found {
    At(Position),
    NotYet(StreamVersion),
    Never,
}

fn last_movement(
    states: &HashMap<(AccountNumber, StreamVersion), &AccountRecord>,
    number: AccountNumber,
    newest: StreamVersion,
) -> Found {
    let state = |version: i64| states.get(&(number, StreamVersion::new(version)?)).copied();
    for version in (2..=newest.get()).rev() {
        let (Some(after), Some(before)) = (state(version), state(version.saturating_sub(1))) else {
            return StreamVersion::new(version).map_or(Found::Never, Found::NotYet);
        };
        if after.state.balance != before.state.balance {
            return Found::At(after.position);
        }
    }
    Found::Never
}

//! Everything that is stored is in the log: nobody has added an account, an entry or a transaction by hand.
//!
//! Runs after the accounts have been compared, which puts right whatever of the log was missing or damaged.

use std::collections::HashSet;

use event_store::LogReader;
use ledger::{AccountId, AccountNumber, Event, OwnerId, StreamVersion};
use read_model::{
    Change, Name, Place, ScanCursor, StatementHeader, StoredFields, indexed_positions,
};

use super::{Findings, IndexedCounts, Target};
use crate::{error::Stop, projection::statement_entry};

/// What is read for every key beside what it holds: its type, and whether the log knows of it.
const READ_PER_KEY: u64 = 2;

/// All fields of a hash come at once, which costs as much as so many times fewer values that are looked up.
const FIELDS_PER_READ: u64 = 8;

/// Compares one step of a scan through a generation's keys with the log.
pub(crate) async fn check_strays(
    log: &LogReader,
    target: &Target,
    indexed: &IndexedCounts,
    cursor: ScanCursor,
) -> Result<(Option<ScanCursor>, Findings), Stop> {
    let page = target.stored.scan(cursor).await?;
    let mut findings = check_types(target, &page.names).await?;
    for name in page.names {
        findings.read += READ_PER_KEY;
        findings.add(match &name {
            Name::Account(id) | Name::Header(id) => check_account(log, target, &name, id).await?,
            Name::Owner(owner) => check_owner(log, target, owner).await?,
            Name::Block(id, _) => check_block(target, &name, id).await?,
            Name::Transactions(part) => {
                check_index(log, target, &name, indexed.of_part(*part)).await?
            }
            Name::Numbers(_) => check_numbers(log, target, &name).await?,
            Name::Checkpoint | Name::Filling | Name::Totals => Findings::default(),
        });
    }
    Ok((page.next, findings))
}

/// Keys that are of another type than ours. Whatever should be in their place is missing, and is put there when it is
/// looked for next; until then whoever reads them fails.
async fn check_types(target: &Target, names: &[Name]) -> Result<Findings, Stop> {
    let keys = target.stored.keys();
    let place = |name: &Name| Place::WrongType { key: name.key(keys), right: name.key_type() };
    let ours = names.iter().filter(|name| !matches!(name, Name::Checkpoint | Name::Filling));
    let places: Vec<_> = ours.map(place).collect();
    let (seen, observed) = target.observe(&places).await?;
    let mut findings = target.compare(seen, &places, &observed.values, &vec![None; places.len()]);
    findings.checked = 0; // what they hold is counted
    Ok(findings)
}

/// A value or header of an account that was never opened.
async fn check_account(
    log: &LogReader,
    target: &Target,
    name: &Name,
    id: &AccountId,
) -> Result<Findings, Stop> {
    let place = Place::Text { key: name.key(target.stored.keys()) };
    let (seen, observed) = target.observe(std::slice::from_ref(&place)).await?;
    target.await_log(log, &seen).await?;
    let opened = log.openings_by_id(target.shard, std::slice::from_ref(id)).await?;
    let right = if opened.is_empty() { vec![None] } else { observed.values.clone() };
    Ok(target.compare(seen, &[place], &observed.values, &right))
}

/// Accounts that are not the owner's.
async fn check_owner(log: &LogReader, target: &Target, owner: &OwnerId) -> Result<Findings, Stop> {
    let members = target.stored.members(owner).await?;
    let (seen, _) = target.observe(&[]).await?;
    target.await_log(log, &seen).await?;
    let text = |member: &[u8]| std::str::from_utf8(member).ok().map(str::to_owned);
    let ids = members.iter().filter_map(|member| AccountId::new(&text(member)?).ok());
    let ids: Vec<_> = ids.collect();
    let opened = log.openings_by_id(target.shard, &ids).await?;
    let owned = opened.values().filter(|opened| opened.opening.owner_id.as_ref() == Some(owner));
    let owned: HashSet<_> = owned.map(|opened| opened.opening.account_id.as_str()).collect();
    let is_owned = |member: &[u8]| text(member).is_some_and(|id| owned.contains(id.as_str()));
    let right: Vec<_> = members.iter().map(|member| is_owned(member).then(Vec::new)).collect();
    let key = target.stored.keys().owner(owner);
    let place = |member: Vec<u8>| match String::from_utf8(member) {
        Ok(member) => Place::Member { key: key.clone(), member },
        Err(name) => Place::Stray { key: key.clone(), name: name.into_bytes() },
    };
    let places: Vec<_> = members.into_iter().map(place).collect();
    let found = vec![Some(Vec::new()); places.len()];
    Ok(target.compare(seen, &places, &found, &right))
}

/// Entries beyond either end of their statement, and whatever is no entry.
async fn check_block(target: &Target, name: &Name, id: &AccountId) -> Result<Findings, Stop> {
    let keys = target.stored.keys();
    let header = Place::Text { key: keys.header(id) };
    let StoredFields { observed, fields, strays } = target.stored.fields(&[header], name).await?;
    let seen = observed.checkpoint.ok_or(Stop::Conflict)?;
    let header = observed.values.into_iter().next().flatten();
    let header = header.and_then(|bytes| StatementHeader::decode(&bytes).ok());
    let key = name.key(keys);
    let is_of_block = |version| keys.block(id, version) == key;
    let belongs = |version: i64| {
        header.is_some_and(|header| (header.oldest.get()..=header.version.get()).contains(&version))
            && StreamVersion::new(version).is_some_and(is_of_block)
    };
    let right = |(version, value): &(i64, Vec<u8>)| belongs(*version).then(|| value.clone());
    let right: Vec<_> = fields.iter().map(right).collect();
    let mut findings = compare_fields(target, seen, name, fields, &right);
    findings.add(stray_fields(target, seen, name, strays));
    Ok(findings)
}

/// Every indexed position is the beginning of that transaction. The replay has compared every record that should be
/// there, so as many as it has counted are all of them; a part with more is put right as a whole.
async fn check_index(
    log: &LogReader,
    target: &Target,
    name: &Name,
    counted: Option<usize>,
) -> Result<Findings, Stop> {
    let Name::Transactions(part) = name else { return Ok(Findings::default()) };
    let place = Place::Text { key: name.key(target.stored.keys()) };
    let (seen, observed) = target.observe(std::slice::from_ref(&place)).await?;
    let found = observed.values.first().and_then(Option::as_deref).unwrap_or_default();
    let positions = indexed_positions(*part, found);
    if counted == Some(positions.len()) {
        return Ok(Findings::default());
    }
    target.await_log(log, &seen).await?;
    let mut events = log.events_at(target.shard, &positions).await?;
    events.sort_unstable_by_key(|event| event.position);
    let mut right = Vec::new();
    for event in events.iter().filter(|event| event.position <= seen.position) {
        let begins = !matches!(event.event, Event::TransferReceived(_));
        if !begins || statement_entry(event).is_none() {
            continue;
        }
        let (position, account) = (event.position, event.account);
        let indexed = Change::Indexed { position, account, version: event.state.version };
        if let (Place::Range { start, .. }, Some(record)) =
            (target.place(&indexed), indexed.bytes())
        {
            right.resize(start, 0);
            right.extend(record);
        }
    }
    let right = (!right.is_empty()).then_some(right);
    Ok(target.compare(seen, &[place], &observed.values, &[right]))
}

/// Every number is that of an account with this id.
async fn check_numbers(log: &LogReader, target: &Target, name: &Name) -> Result<Findings, Stop> {
    let StoredFields { observed, fields, strays } = target.stored.fields(&[], name).await?;
    let seen = observed.checkpoint.ok_or(Stop::Conflict)?;
    target.await_log(log, &seen).await?;
    let number = |field: i64| AccountNumber::new(i32::try_from(field).ok()?);
    let numbers: Vec<_> = fields.iter().filter_map(|(field, _)| number(*field)).collect();
    let openings = log.openings(target.shard, &numbers).await?;
    let keys = target.stored.keys();
    let key = name.key(keys);
    let is_of_part = |number: &AccountNumber| keys.numbers(*number) == key;
    let right = fields.iter().map(|(field, _)| {
        let number = number(*field).filter(is_of_part)?;
        let account_id = openings.get(&number)?.opening.account_id.clone();
        Change::Numbered { number, account_id }.bytes()
    });
    let right: Vec<_> = right.collect();
    let mut findings = compare_fields(target, seen, name, fields, &right);
    findings.add(stray_fields(target, seen, name, strays));
    Ok(findings)
}

fn compare_fields(
    target: &Target,
    seen: read_model::Checkpoint,
    name: &Name,
    fields: Vec<(i64, Vec<u8>)>,
    right: &[Option<Vec<u8>>],
) -> Findings {
    let key = name.key(target.stored.keys());
    let (places, found): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .map(|(field, value)| (Place::Field { key: key.clone(), field }, Some(value)))
        .unzip();
    let mut findings = target.compare(seen, &places, &found, right);
    findings.read /= FIELDS_PER_READ;
    findings
}

/// Fields under names that nothing of ours has: all of them are wrong.
fn stray_fields(
    target: &Target,
    seen: read_model::Checkpoint,
    name: &Name,
    strays: Vec<(Vec<u8>, Vec<u8>)>,
) -> Findings {
    let key = name.key(target.stored.keys());
    let (places, found): (Vec<_>, Vec<_>) = strays
        .into_iter()
        .map(|(name, value)| (Place::Stray { key: key.clone(), name }, Some(value)))
        .unzip();
    target.compare(seen, &places, &found, &vec![None; places.len()])
}

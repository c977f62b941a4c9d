//! Everything that is stored is in the log: nobody has added an account, an entry or a transaction by hand.
//!
//! Runs after the accounts have been compared, which puts right whatever of the log was missing or damaged.

use event_store::LogReader;
use ledger::{AccountId, AccountNumber, Event, OwnerId, Position, Shard};
use read_model::{AccountView, Change, Name, Place, ScanCursor, StatementHeader, StoredFields};

use super::{Findings, Target};
use crate::{error::Stop, projection::statement_entry};

/// Compares one step of a scan through a generation's keys with the log.
pub(crate) async fn check_strays(
    log: &LogReader,
    target: &Target,
    cursor: ScanCursor,
) -> Result<(Option<ScanCursor>, Findings), Stop> {
    let page = target.stored.scan(cursor).await?;
    let mut findings = Findings::default();
    for name in page.items {
        findings.add(match &name {
            Name::Account(id) | Name::Header(id) => check_account(log, target, &name, id).await?,
            Name::Owner(owner) => check_owner(target, owner).await?,
            Name::Latest(id) => check_latest(target, id).await?,
            Name::Block(id, _) => check_block(target, &name, id).await?,
            Name::Transactions(_) => check_index(log, target, &name).await?,
            Name::Checkpoint | Name::Totals => Findings::default(),
        });
    }
    Ok((page.next, findings))
}

/// The account that a value or header says it is of must have that id in the log.
async fn check_account(
    log: &LogReader,
    target: &Target,
    name: &Name,
    id: &AccountId,
) -> Result<Findings, Stop> {
    let place = Place::Text { key: name.key(target.stored.keys()) };
    let (seen, observed) = target.observe(std::slice::from_ref(&place)).await?;
    let Some(found) = observed.values.into_iter().next().flatten() else {
        return Ok(Findings::default()); // gone since
    };
    let number = match name {
        Name::Account(_) => AccountView::decode(id, &found).ok().map(|view| view.number),
        _ => StatementHeader::decode(&found).ok().map(|header| header.number),
    };
    let right = is_in_log(log, target.shard, id, number).await?.then(|| found.clone());
    Ok(target.compare(seen, &[place], &[Some(found)], &[right]))
}

async fn is_in_log(
    log: &LogReader,
    shard: Shard,
    id: &AccountId,
    number: Option<AccountNumber>,
) -> Result<bool, Stop> {
    // A value that cannot be read would have been put right if its account were in the log.
    let Some(number) = number else { return Ok(false) };
    let openings = log.openings(shard, &[number]).await?;
    Ok(openings.get(&number).is_some_and(|opened| opened.opening.account_id == *id))
}

/// Every account of an owner names that owner.
async fn check_owner(target: &Target, owner: &OwnerId) -> Result<Findings, Stop> {
    let members = target.stored.members(owner).await?;
    let keys = target.stored.keys();
    let account_key =
        |member: &String| AccountId::new(member).map(|id| keys.account(&id)).unwrap_or_default();
    let values = members.iter().map(|member| Place::Text { key: account_key(member) });
    let (seen, observed) = target.observe(&values.collect::<Vec<_>>()).await?;
    let mut places = Vec::with_capacity(members.len());
    let mut right = Vec::with_capacity(members.len());
    for (member, value) in members.into_iter().zip(observed.values) {
        let view = AccountId::new(&member).ok().zip(value);
        let view = view.and_then(|(id, bytes)| AccountView::decode(&id, &bytes).ok());
        let belongs = view.is_some_and(|view| view.opening.owner_id.as_ref() == Some(owner));
        right.push(belongs.then(Vec::new));
        places.push(Place::Member { key: keys.owner(owner), member });
    }
    let found = vec![Some(Vec::new()); places.len()];
    Ok(target.compare(seen, &places, &found, &right))
}

/// A newest entry without a statement.
async fn check_latest(target: &Target, id: &AccountId) -> Result<Findings, Stop> {
    let keys = target.stored.keys();
    let places = [keys.header(id), keys.latest(id)].map(|key| Place::Text { key });
    let (seen, observed) = target.observe(&places).await?;
    let [header, latest] = observed.values.as_slice() else { return Ok(Findings::default()) };
    let right = header.is_some().then(|| latest.clone()).flatten();
    Ok(target.compare(seen, &places[1..], std::slice::from_ref(latest), &[right]))
}

/// Entries beyond either end of their statement.
async fn check_block(target: &Target, name: &Name, id: &AccountId) -> Result<Findings, Stop> {
    let keys = target.stored.keys();
    let header = Place::Text { key: keys.header(id) };
    let StoredFields { observed, fields } = target.stored.fields(&[header], name).await?;
    let seen = observed.checkpoint.ok_or(Stop::Conflict)?;
    let header = observed.values.into_iter().next().flatten();
    let header = header.and_then(|bytes| StatementHeader::decode(&bytes).ok());
    let belongs = |version: i64| {
        header.is_some_and(|header| (header.oldest.get()..=header.version.get()).contains(&version))
    };
    let right = |(version, value): &(i64, Vec<u8>)| belongs(*version).then(|| value.clone());
    let right: Vec<_> = fields.iter().map(right).collect();
    Ok(compare_fields(target, seen, name, fields, &right))
}

/// Every indexed position is the beginning of that transaction.
async fn check_index(log: &LogReader, target: &Target, name: &Name) -> Result<Findings, Stop> {
    let StoredFields { observed, fields } = target.stored.fields(&[], name).await?;
    let seen = observed.checkpoint.ok_or(Stop::Conflict)?;
    let positions = fields.iter().filter_map(|(position, _)| Position::new(*position));
    let events = log.events_at(target.shard, &positions.collect::<Vec<_>>()).await?;
    let numbers: Vec<_> = events.iter().map(|event| event.account).collect();
    let openings = log.openings(target.shard, &numbers).await?;
    let right = fields.iter().map(|(position, _)| {
        let event = events.iter().find(|event| event.position.get() == *position)?;
        let begins = !matches!(event.event, Event::TransferReceived(_));
        statement_entry(event).filter(|_| begins && event.position <= seen.position)?;
        let account_id = openings.get(&event.account)?.opening.account_id.clone();
        let version = event.state.version;
        Change::Indexed { position: event.position, account_id, version }.bytes(target.shard)
    });
    let right: Vec<_> = right.collect();
    Ok(compare_fields(target, seen, name, fields, &right))
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
    target.compare(seen, &places, &found, right)
}

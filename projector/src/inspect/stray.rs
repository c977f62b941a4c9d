//! Everything that is stored is in the log: nobody has added an account, an entry or a transaction by hand.
//!
//! Runs after the accounts have been compared, which puts right whatever of the log was missing or damaged.

use event_store::{LogReader, OpenedAccount};
use ledger::{AccountId, AccountNumber, Event, OwnerId, Position};
use read_model::{
    AccountView, Change, Name, Place, ScanCursor, StatementHeader, StoredFields, View,
};

use super::{Findings, IndexedCounts, Target};
use crate::{error::Stop, projection::statement_entry};

/// Compares one step of a scan through a generation's keys with the log.
pub(crate) async fn check_strays(
    log: &LogReader,
    target: &Target,
    indexed: &IndexedCounts,
    cursor: ScanCursor,
) -> Result<(Option<ScanCursor>, Findings), Stop> {
    let page = target.stored.scan(cursor).await?;
    let mut findings = Findings::default();
    for name in page.items {
        findings.add(match &name {
            Name::Account(id) | Name::Header(id) => check_account(log, target, &name, id).await?,
            Name::Owner(owner) => check_owner(log, target, owner).await?,
            Name::Latest(id) => check_latest(target, id).await?,
            Name::Block(id, _) => check_block(target, &name, id).await?,
            Name::Transactions(part) => {
                check_index(log, target, &name, indexed.of_part(*part)).await?
            }
            Name::Checkpoint | Name::Filling | Name::Totals => Findings::default(),
        });
    }
    Ok((page.next, findings))
}

/// What is known of an account that Redis has a key for.
enum Standing {
    InLog(OpenedAccount),
    NotInLog,
    /// There is something in Redis, but it cannot be read. The comparison of the accounts puts it right, or has
    /// to come by first.
    Unknown,
}

/// Whether accounts are in the log. The log is asked by number, and a number is in an account's value and in
/// its statement's header: one damaged value does not make a stranger of an account.
async fn standings(
    log: &LogReader,
    target: &Target,
    ids: &[AccountId],
) -> Result<Vec<Standing>, Stop> {
    let mut numbers: Vec<Vec<Option<AccountNumber>>> = vec![Vec::new(); ids.len()];
    for stored in [Some(&target.stored), target.beside.as_ref()].into_iter().flatten() {
        let is_accounts = stored.view() == View::Accounts;
        let key = |id| {
            if is_accounts { stored.keys().account(id) } else { stored.keys().header(id) }
        };
        let places: Vec<_> = ids.iter().map(|id| Place::Text { key: key(id) }).collect();
        let observed = stored.observe(&places).await?;
        for ((id, numbers), value) in ids.iter().zip(&mut numbers).zip(observed.values) {
            let Some(value) = value else { continue };
            numbers.push(if is_accounts {
                AccountView::decode(id, &value).ok().map(|view| view.number)
            } else {
                StatementHeader::decode(&value).ok().map(|header| header.number)
            });
        }
    }
    let asked: Vec<_> = numbers.iter().flatten().flatten().copied().collect();
    let openings = log.openings(target.shard, &asked).await?;
    let standing = |(id, numbers): (&AccountId, Vec<Option<AccountNumber>>)| {
        let opened = numbers.iter().flatten().filter_map(|number| openings.get(number));
        match opened.into_iter().find(|opened| opened.opening.account_id == *id) {
            Some(opened) => Standing::InLog(opened.clone()),
            None if numbers.contains(&None) => Standing::Unknown,
            None => Standing::NotInLog,
        }
    };
    Ok(ids.iter().zip(numbers).map(standing).collect())
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
    let standing = standings(log, target, std::slice::from_ref(id)).await?;
    // What cannot be read, and has no second witness, would have been put right if the log knew it.
    let lonely = target.beside.is_none() && matches!(standing[..], [Standing::Unknown]);
    let right = match standing[..] {
        [Standing::NotInLog] => vec![None],
        _ if lonely => vec![None],
        _ => observed.values.clone(),
    };
    Ok(target.compare(seen, &[place], &observed.values, &right))
}

/// Accounts that are not the owner's.
async fn check_owner(log: &LogReader, target: &Target, owner: &OwnerId) -> Result<Findings, Stop> {
    let members = target.stored.members(owner).await?;
    let (seen, _) = target.observe(&[]).await?;
    let ids: Vec<_> = members.iter().filter_map(|member| AccountId::new(member).ok()).collect();
    let standings = standings(log, target, &ids).await?;
    let is_stranger = |member: &String| {
        let standing = ids.iter().zip(&standings).find(|(id, _)| id.as_str() == member);
        match standing {
            Some((_, Standing::InLog(opened))) => opened.opening.owner_id.as_ref() != Some(owner),
            Some((_, Standing::Unknown)) => false,
            Some((_, Standing::NotInLog)) | None => true,
        }
    };
    let right: Vec<_> =
        members.iter().map(|member| (!is_stranger(member)).then(Vec::new)).collect();
    let key = target.stored.keys().owner(owner);
    let place = |member| Place::Member { key: key.clone(), member };
    let places: Vec<_> = members.into_iter().map(place).collect();
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

/// Every indexed position is the beginning of that transaction. The replay has compared every entry that should
/// be there, so as many as it has counted are all of them.
async fn check_index(
    log: &LogReader,
    target: &Target,
    name: &Name,
    counted: Option<usize>,
) -> Result<Findings, Stop> {
    let StoredFields { observed, fields } = target.stored.fields(&[], name).await?;
    let seen = observed.checkpoint.ok_or(Stop::Conflict)?;
    if counted == Some(fields.len()) {
        return Ok(Findings::default());
    }
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
        Change::Indexed { position: event.position, account_id, version }.bytes()
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

//! The two sides of a transfer: each names the other, and they move the same between two accounts of one currency.

use std::collections::{BTreeMap, HashMap};

use event_store::{LogReader, OpenedAccount, RecordedEvent};
use ledger::{AccountNumber, Event, Opening, Position, Shard, event::TransferEntry};

use super::findings::Findings;
use crate::failure::Failure;

/// Looks up the other side of every transfer among `events`.
pub(super) async fn verify(
    log: &LogReader,
    events: &[RecordedEvent],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut asked: BTreeMap<Shard, Vec<(Position, &RecordedEvent)>> = BTreeMap::new();
    for event in events {
        match (transfer(&event.event), event.peer) {
            (Some(_), Some((shard, position))) => {
                asked.entry(shard).or_default().push((position, event));
            }
            (Some(_), None) => {
                findings.add(
                    event.shard,
                    row(event),
                    "a transfer that does not name its other side",
                );
            }
            (None, _) => {}
        }
    }
    for (shard, asked) in asked {
        let positions: Vec<Position> = asked.iter().map(|(position, _)| *position).collect();
        let peers = match log.events_at(shard, &positions).await {
            Ok(peers) => peers,
            // A row that cannot be read is found where it stands.
            Err(event_store::Error::Corrupt { .. } | event_store::Error::NotUnderstood { .. }) => {
                continue;
            }
            Err(error) => return Err(Failure::other(error)),
        };
        let own_shard = asked[0].1.shard;
        let own = openings(log, own_shard, asked.iter().map(|(_, event)| event.account)).await?;
        let theirs = openings(log, shard, peers.iter().map(|peer| peer.account)).await?;
        let peers: BTreeMap<Position, RecordedEvent> =
            peers.into_iter().map(|peer| (peer.position, peer)).collect();
        for (position, event) in asked {
            let Some(peer) = peers.get(&position).filter(|peer| belong_together(event, peer))
            else {
                let what = format!("row {position} of shard {shard} is not its other side");
                findings.add(event.shard, row(event), what);
                continue;
            };
            // Of an account whose opening is not there, that is found where it should be.
            let opened = own.get(&event.account).zip(theirs.get(&peer.account));
            let broken =
                opened.and_then(|(own, theirs)| broken_rule(event, &own.opening, &theirs.opening));
            if let Some(what) = broken {
                findings.add(event.shard, row(event), what);
            }
        }
    }
    Ok(())
}

async fn openings(
    log: &LogReader,
    shard: Shard,
    accounts: impl Iterator<Item = AccountNumber>,
) -> Result<HashMap<AccountNumber, OpenedAccount>, Failure> {
    let mut numbers: Vec<AccountNumber> = accounts.collect();
    numbers.sort_unstable();
    numbers.dedup();
    match log.openings(shard, &numbers).await {
        Err(event_store::Error::Corrupt { .. } | event_store::Error::NotUnderstood { .. }) => {
            Ok(HashMap::new())
        }
        openings => openings.map_err(Failure::other),
    }
}

/// What no transfer may do, though both of its sides agree on it.
fn broken_rule(event: &RecordedEvent, own: &Opening, theirs: &Opening) -> Option<String> {
    let TransferEntry { peer: named, .. } = transfer(&event.event)?;
    if *named != theirs.account_id {
        return Some(format!(
            "it names account {named}, and its other side is of account {}",
            theirs.account_id
        ));
    }
    if own.account_id == theirs.account_id {
        return Some(format!("a transfer from account {named} to itself"));
    }
    (own.currency != theirs.currency).then(|| {
        format!(
            "a transfer between currencies: account {} has {}, and account {named} has {}",
            own.account_id, own.currency, theirs.currency
        )
    })
}

fn row(event: &RecordedEvent) -> String {
    format!("row {}", event.position)
}

fn belong_together(one: &RecordedEvent, other: &RecordedEvent) -> bool {
    let is_sent = |event: &Event| matches!(event, Event::TransferSent(_));
    let moved = |entry: &TransferEntry| (entry.amount, entry.reference.clone(), entry.effective_at);
    other.peer == Some((one.shard, one.position))
        && transfer(&one.event).is_some()
        && transfer(&one.event).map(moved) == transfer(&other.event).map(moved)
        && is_sent(&one.event) != is_sent(&other.event)
}

fn transfer(event: &Event) -> Option<&TransferEntry> {
    match event {
        Event::TransferSent(entry) | Event::TransferReceived(entry) => Some(entry),
        _ => None,
    }
}

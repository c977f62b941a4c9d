//! The two sides of a transfer: each names the other, and they move the same.

use std::collections::BTreeMap;

use event_store::{LogReader, RecordedEvent};
use ledger::{Amount, Event, Position, Shard};

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
        match (transferred(&event.event), event.peer) {
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
        let peers: BTreeMap<Position, RecordedEvent> =
            peers.into_iter().map(|peer| (peer.position, peer)).collect();
        for (position, event) in asked {
            if !peers.get(&position).is_some_and(|peer| belong_together(event, peer)) {
                let what = format!("row {position} of shard {shard} is not its other side");
                findings.add(event.shard, row(event), what);
            }
        }
    }
    Ok(())
}

fn row(event: &RecordedEvent) -> String {
    format!("row {}", event.position)
}

fn belong_together(one: &RecordedEvent, other: &RecordedEvent) -> bool {
    let is_sent = |event: &Event| matches!(event, Event::TransferSent(_));
    other.peer == Some((one.shard, one.position))
        && transferred(&one.event).is_some()
        && transferred(&one.event) == transferred(&other.event)
        && is_sent(&one.event) != is_sent(&other.event)
}

fn transferred(event: &Event) -> Option<Amount> {
    match event {
        Event::TransferSent(entry) | Event::TransferReceived(entry) => Some(entry.amount),
        _ => None,
    }
}

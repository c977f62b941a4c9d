//! Judging what clients wrote down against the log, and the read model against both.

use std::collections::HashMap;

use event_store::{LogReader, RecordedEvent};
use ledger::{AccountNumber, AccountState, Event, Position, Shard, evolve};
use proto::read;

use crate::{
    System,
    load::{Call, Ended, History},
    process::until,
};

/// The whole log, read back and verified by its chains.
pub async fn read_log(system: &System) -> Vec<RecordedEvent> {
    let reader = LogReader::connect(&system.database_url, "oracle").await.unwrap();
    let identity = reader.identity().await.unwrap();
    let mut events = Vec::new();
    for shard in identity.shards.shards() {
        let mut link = identity.genesis(shard);
        loop {
            let batches = reader.read_after(shard, &link, 1000).await.unwrap();
            let Some(last) = batches.last() else { break };
            link = last.link;
            events.extend(batches.into_iter().flat_map(|batch| batch.events));
        }
    }
    events
}

/// No loss, at most once, and definite means definite: every acknowledged command is in the log once, at its position; every refused one is
/// there as a refusal or not at all; and none is there twice.
pub async fn every_answer_was_true(log: &[RecordedEvent], history: &History) {
    let mut found: HashMap<uuid::Uuid, Vec<&RecordedEvent>> = HashMap::new();
    for event in log {
        if let Some(id) = event.request_id {
            found.entry(id.uuid()).or_default().push(event);
        }
    }
    for Call { request_id, ended, tries, .. } in history.lock().await.iter() {
        let events = found.get(request_id).map(Vec::as_slice).unwrap_or_default();
        let rejected = events.iter().all(|event| matches!(event.event, Event::CommandRejected(_)));
        match ended {
            Ended::Applied { position, .. } => {
                assert_eq!(events.len(), 1, "{request_id} was acknowledged after {tries} tries");
                assert!(!rejected, "{request_id} was acknowledged but is a refusal in the log");
                assert_eq!(events[0].position.get(), *position, "{request_id}");
            }
            Ended::Refused(reason) => {
                assert!(
                    rejected && events.len() <= 1,
                    "{request_id} was refused with {reason} but is in the log"
                );
            }
            Ended::Unknown => {
                panic!("the outcome of {request_id} was never learned in {tries} tries")
            }
        }
    }
}

/// Replays the log: positions and versions without a hole, states that follow from events, no account below its limit, both sides of
/// every transfer, and no money made or lost.
pub fn the_log_is_sound(log: &[RecordedEvent]) {
    let mut states: HashMap<(Shard, AccountNumber), AccountState> = HashMap::new();
    let mut next: HashMap<Shard, Position> = HashMap::new();
    let (mut came_in, mut in_transit) = (0_i128, 0_i128);
    for event in log {
        let position = next.entry(event.shard).or_insert_with(|| Position::ZERO.plus(1));
        assert_eq!(event.position, *position, "shard {}", event.shard);
        *position = position.plus(1);
        let state = states.remove(&(event.shard, event.account));
        let after = evolve(state, &event.event).unwrap();
        assert_eq!(after, event.state, "shard {} position {}", event.shard, event.position);
        assert!(after.keeps_limit(), "shard {} position {}", event.shard, event.position);
        states.insert((event.shard, event.account), after);
        match &event.event {
            Event::MoneyDeposited(entry) => came_in += i128::from(entry.amount.minor_units()),
            Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
                came_in -= i128::from(entry.amount.minor_units())
            }
            Event::TransferSent(entry) => in_transit += i128::from(entry.amount.minor_units()),
            Event::TransferReceived(entry) => in_transit -= i128::from(entry.amount.minor_units()),
            _ => {}
        }
    }
    assert_eq!(in_transit, 0, "every transfer has both sides");
    let balances: i128 = states.values().map(|state| i128::from(state.balance)).sum();
    assert_eq!(balances, came_in, "money is conserved");
}

/// Waits until the read model has all of the log, and compares the two completely.
pub async fn the_read_model_matches(system: &System) {
    until("every view has all of the log", || async {
        let status = system
            .read_client(0)
            .get_read_model_status(read::GetReadModelStatusRequest::default())
            .await;
        let heads = heads(system).await;
        status.is_ok_and(|status| {
            let views = status.into_inner().views;
            !views.is_empty()
                && views.iter().all(|view| {
                    view.generation != 0
                        && view.building_generation == 0
                        && heads.get(&view.shard).is_none_or(|head| view.position == *head)
                })
        })
    })
    .await;
    let (code, output) = system.counterfoil(&["verify"]).await;
    assert_eq!(code, 0, "{output}");
}

async fn heads(system: &System) -> HashMap<i32, i64> {
    let reader = LogReader::connect(&system.database_url, "oracle").await.unwrap();
    let identity = reader.identity().await.unwrap();
    let mut heads = HashMap::new();
    for shard in identity.shards.shards() {
        let head = reader.head(shard).await.unwrap();
        heads.insert(i32::from(shard.get()), head.map_or(0, |head| head.link.position.get()));
    }
    heads
}

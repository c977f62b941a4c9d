//! What callers sent and were told, to be held against the log.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use ledger::{ConsistencyToken, Event};
use uuid::Uuid;

use super::{Answer, Call, Done, Refusal, judge::Findings};

/// Refusals that the log keeps. A version conflict is kept or not, depending on the version.
const KEPT: [&str; 8] = [
    "ACCOUNT_CLOSED",
    "ACCOUNT_FROZEN",
    "ACCOUNT_NOT_FROZEN",
    "BALANCE_NOT_ZERO",
    "BALANCE_OVERFLOW",
    "CURRENCY_MISMATCH",
    "INSUFFICIENT_FUNDS",
    "LIMIT_ABOVE_BALANCE",
];

/// Every call with its answer, in the order of the answers. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    calls: Arc<Mutex<Vec<(Call, Answer)>>>,
}

impl History {
    pub(crate) fn note(&self, call: Call, answer: Answer) {
        self.calls.lock().unwrap().push((call, answer));
    }

    /// How many calls were answered so: `OK`, or the reason.
    pub(crate) fn count(&self, outcome: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, answer)| outcome_of(answer) == outcome).count()
    }

    /// Every answer was true, and nothing is in the log that nobody sent.
    #[track_caller]
    pub(crate) fn agrees_with(&self, log: &Findings) {
        let calls = self.calls.lock().unwrap();
        let mut decided = HashSet::new();
        let mut maybe = HashSet::new();
        for (call, answer) in calls.iter() {
            match answer {
                Ok(done) => {
                    check_done(call, done, log);
                    decided.insert(call.id());
                }
                Err(refusal) if is_kept(refusal) => {
                    check_kept(call, refusal, log);
                    decided.insert(call.id());
                }
                Err(refusal) if refusal.is_unknown() => {
                    maybe.insert(call.id());
                }
                Err(_) => {}
            }
        }
        let sent: HashMap<Uuid, &Call> = calls.iter().map(|(call, _)| (call.id(), call)).collect();
        for id in log.requests() {
            assert!(sent.contains_key(&id), "{id} is in the log, and nobody sent it");
            assert!(
                decided.contains(&id) || maybe.contains(&id),
                "{:?} is in the log, and its caller was told that it is not",
                sent[&id]
            );
        }
    }
}

fn outcome_of(answer: &Answer) -> &str {
    answer.as_ref().map_or_else(|refusal| refusal.reason.as_str(), |_| "OK")
}

/// Whether the refusal is a fact in the log.
fn is_kept(refusal: &Refusal) -> bool {
    let version = |key: &str| refusal.metadata.get(key).and_then(|text| text.parse::<i64>().ok());
    KEPT.contains(&refusal.reason.as_str())
        || (refusal.reason == "VERSION_CONFLICT"
            && version("expected_version") > version("current_version"))
}

#[track_caller]
fn check_done(call: &Call, done: &Done, log: &Findings) {
    let Some(event) = log.event_of(call) else { panic!("{call:?} was lost: {done:?}") };
    assert_eq!(event.position.get(), done.position(), "{call:?}");
    assert_eq!(log.name_of(event), call.account(), "{call:?}");
    assert_eq!(
        (event.state.version.get(), event.state.balance),
        (done.version(), done.balance()),
        "{call:?} was answered with another state than the log has: {event:?}"
    );
    assert!(!matches!(event.event, Event::CommandRejected(_)), "{call:?} was answered with OK");
    let token: ConsistencyToken = done.write.consistency_token.parse().unwrap();
    for (shard, position) in [(event.shard, event.position)].into_iter().chain(event.peer) {
        assert!(token.positions[&shard] >= position, "{call:?}: the token does not cover it");
    }
    if let Some(destination) = &done.destination {
        let peer = event.peer.unwrap();
        let other = log.events.iter().find(|other| (other.shard, other.position) == peer).unwrap();
        let balance = destination.balance.as_ref().unwrap().minor_units;
        assert_eq!(
            (other.state.version.get(), other.state.balance),
            (destination.version, balance)
        );
        assert_eq!(log.name_of(other), destination.account_id);
    }
}

#[track_caller]
fn check_kept(call: &Call, refusal: &Refusal, log: &Findings) {
    let event = log.event_of(call);
    let Some(Event::CommandRejected(rejected)) = event.map(|event| &event.event) else {
        panic!("{call:?} was refused with {refusal:?}, but the log has {event:?}")
    };
    assert_eq!(rejected.rejection.to_string(), refusal.message, "{call:?}");
}

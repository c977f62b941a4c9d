//! The judge: reads a whole log, and checks what is promised of every log, whatever has happened to its writers.

use std::collections::{BTreeMap, HashMap, HashSet};

use event_store::{EventRow, LogIdentity, LogReader, RecordedEvent};
use ledger::{AccountNumber, AccountState, Event, Position, Shard, evolve};
use uuid::Uuid;

use super::{Admin, Call};

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// By shard, in order.
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) accounts: BTreeMap<String, AccountState>,
    names: HashMap<(Shard, AccountNumber), String>,
    requests: HashMap<Uuid, usize>,
    /// Atomic batches, and how many rows each has.
    pub(crate) batches: HashMap<Uuid, u32>,
}

impl Findings {
    pub(crate) fn balance(&self, account: &str) -> i64 {
        self.accounts[account].balance
    }

    pub(crate) fn version(&self, account: &str) -> i64 {
        self.accounts[account].version.get()
    }

    /// What became of a call, if it is in the log.
    pub(crate) fn event_of(&self, call: &Call) -> Option<&RecordedEvent> {
        self.requests.get(&call.id()).map(|index| &self.events[*index])
    }

    pub(crate) fn name_of(&self, event: &RecordedEvent) -> &str {
        &self.names[&(event.shard, event.account)]
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = Uuid> {
        self.requests.keys().copied()
    }
}

pub(crate) async fn judge(url: &str, identity: &LogIdentity) -> Findings {
    let reader = LogReader::connect(url, "judge").await.unwrap();
    let mut findings = Findings::default();
    for shard in identity.shards.shards() {
        let mut link = identity.genesis(shard);
        loop {
            // Verified as it is read: no hole, every digest, every hash.
            let batches = reader.read_after(shard, &link, 1000).await.unwrap();
            let Some(last) = batches.last() else { break };
            link = last.link;
            findings.events.extend(batches.into_iter().flat_map(|batch| batch.events));
        }
    }
    let admin = Admin::connect(url).await;
    let inside = batches(&admin, &mut findings).await;
    replay(&mut findings, &inside);
    check_positions(&findings);
    check_transfers(&findings);
    check_sums(&findings);
    check_with_sql(&admin, &findings).await;
    findings
}

/// Notes the atomic batches. Gives the places of their rows but for those that have the request ids.
async fn batches(admin: &Admin, findings: &mut Findings) -> HashSet<(Shard, Position)> {
    let mut inside = HashSet::new();
    for (id, shard, position, details) in admin.details().await {
        let row = EventRow { details: Some(details), ..EventRow::default() };
        let Some(extents) = row.batch().unwrap() else { continue };
        let mut rows = 0;
        for extent in extents {
            rows += extent.rows;
            let places = (0..extent.rows).map(|row| extent.first.plus(row as usize));
            for place in places {
                assert!(inside.insert((extent.shard, place)), "two batches have the same row");
            }
        }
        let own = (Shard::new(shard).unwrap(), Position::new(position).unwrap());
        assert!(inside.remove(&own), "the row that a batch is found by is outside of it");
        findings.batches.insert(id, rows);
    }
    inside
}

/// Every account again from its events: each row must carry what follows from the row before, and keep the limit.
fn replay(findings: &mut Findings, inside: &HashSet<(Shard, Position)>) {
    let mut states = HashMap::<(Shard, AccountNumber), AccountState>::new();
    for (index, event) in findings.events.iter().enumerate() {
        let key = (event.shard, event.account);
        let state = evolve(states.get(&key).copied(), &event.event).unwrap();
        assert_eq!(state, event.state, "{event:?} does not follow from the rows before");
        assert!(state.keeps_limit(), "{event:?} breaks the limit");
        states.insert(key, state);
        if let Event::AccountOpened { opening, .. } = &event.event {
            let name = opening.account_id.as_str().to_owned();
            assert_eq!(findings.names.insert(key, name), None, "{event:?}: a number twice");
        }
        if let Some(id) = event.request_id {
            let before = findings.requests.insert(id.uuid(), index);
            assert_eq!(before, None, "{event:?}: a command was applied twice");
        }
        let is_second = matches!(event.event, Event::TransferReceived(_));
        let is_inside = inside.contains(&(event.shard, event.position));
        assert_eq!(event.request_id.is_none(), is_second || is_inside, "{event:?}");
    }
    findings.accounts =
        states.into_iter().map(|(key, state)| (findings.names[&key].clone(), state)).collect();
    assert_eq!(findings.accounts.len(), findings.names.len(), "an account was opened twice");
}

fn check_positions(findings: &Findings) {
    let mut last = HashMap::<Shard, (Position, i64)>::new();
    for event in &findings.events {
        let before = last.entry(event.shard).or_insert((Position::ZERO, i64::MIN));
        assert_eq!(event.position, before.0.plus(1), "a hole in the log");
        let time = event.recorded_at.micros();
        assert!(time >= before.1, "{event:?} was recorded before the row before it");
        *before = (event.position, time);
    }
}

/// Both sides are there, and each names the other.
fn check_transfers(findings: &Findings) {
    let at: HashMap<_, _> =
        findings.events.iter().map(|event| ((event.shard, event.position), event)).collect();
    for event in &findings.events {
        let Some(peer) = event.peer else {
            let moved = matches!(event.event, Event::TransferSent(_) | Event::TransferReceived(_));
            assert!(!moved, "{event:?} has no other side");
            continue;
        };
        let other = at.get(&peer).unwrap_or_else(|| panic!("{event:?}: the other side is missing"));
        assert_eq!(other.peer, Some((event.shard, event.position)), "{event:?} and {other:?}");
        let (this, that) = match (&event.event, &other.event) {
            (Event::TransferSent(this), Event::TransferReceived(that))
            | (Event::TransferReceived(this), Event::TransferSent(that)) => (this, that),
            _ => panic!("{event:?} and {other:?} are no transfer"),
        };
        assert_eq!(this.amount, that.amount, "{event:?} and {other:?}");
        assert_eq!(this.peer.as_str(), findings.name_of(other), "{event:?} and {other:?}");
    }
}

/// What is there came from outside. All accounts of these tests that hold money hold the same currency.
fn check_sums(findings: &Findings) {
    let from_outside: i128 = findings
        .events
        .iter()
        .map(|event| match &event.event {
            Event::MoneyDeposited(entry) => i128::from(entry.amount.minor_units()),
            Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
                -i128::from(entry.amount.minor_units())
            }
            _ => 0,
        })
        .sum();
    let balances: i128 = findings.accounts.values().map(|state| i128::from(state.balance)).sum();
    assert_eq!(balances, from_outside, "money came to be, or was lost");
}

/// The same once more without any code of ours.
async fn check_with_sql(admin: &Admin, findings: &Findings) {
    let events = i64::try_from(findings.events.len()).unwrap();
    assert_eq!(admin.count_events().await, events);
    for (what, sql) in [
        (
            "positions without a hole",
            "SELECT count(*) FROM (SELECT max(position) - count(*) AS holes, min(position) AS first FROM counterfoil.events
             GROUP BY shard) s WHERE holes <> 0 OR first <> 1",
        ),
        (
            "versions without a hole",
            "SELECT count(*) FROM (SELECT max(version) - count(*) AS holes, min(version) AS first FROM counterfoil.events
             WHERE event_type <> 11 GROUP BY shard, account) s WHERE holes <> 0 OR first <> 1",
        ),
        (
            "batches that cover the rows",
            "SELECT count(*) FROM counterfoil.events e WHERE NOT EXISTS (SELECT FROM counterfoil.batches b
             WHERE b.shard = e.shard AND e.position BETWEEN b.first_position AND b.last_position)",
        ),
        (
            "limits kept",
            "SELECT count(*) FROM counterfoil.events
             WHERE balance - coalesce(held, 0) < -coalesce(overdraft_limit, 0)",
        ),
        (
            "each step added",
            "SELECT count(*) FROM (SELECT balance - lag(balance, 1, 0::bigint) OVER (PARTITION BY shard, account ORDER BY version)
               - CASE WHEN event_type IN (2, 6) THEN amount WHEN event_type IN (3, 4, 5) THEN -amount ELSE 0 END AS wrong
             FROM counterfoil.events WHERE event_type <> 11) s WHERE wrong <> 0",
        ),
    ] {
        assert_eq!(admin.number(sql).await, 0, "{what}");
    }
    let ids: HashSet<_> = findings.requests().collect();
    assert_eq!(
        admin.number("SELECT count(DISTINCT request_id) FROM counterfoil.events").await,
        i64::try_from(ids.len()).unwrap()
    );
}

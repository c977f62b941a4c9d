//! Projections: from events to changes. Pure: no clock, no I/O; the same events always give the same changes, whoever
//! folds them and however they are cut into pages.
//!
//! A new view is a file here, a [`View`], and its kinds of [`Change`].

mod account;
mod totals;
mod transaction;

pub(crate) use transaction::statement_entry;

use event_store::{OpenedAccount, RecordedEvent};
use ledger::{Opening, Position};
use read_model::{Change, Checkpoint, ShardTotals, View};

use crate::log::ByAccount;

/// Some events of one shard, whole batches in order, and the openings of all accounts they touch.
pub(crate) struct EventPage<'a> {
    pub(crate) events: &'a [RecordedEvent],
    pub(crate) openings: &'a ByAccount<OpenedAccount>,
}

/// An event that cannot be: the log is corrupt, or this binary is too old for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {finding}")]
pub(crate) struct ImpossibleEvent {
    pub(crate) position: Position,
    pub(crate) finding: &'static str,
}

impl EventPage<'_> {
    /// Every event, with what was said when its account was opened.
    pub(crate) fn with_openings(
        &self,
    ) -> impl Iterator<Item = Result<(&RecordedEvent, &OpenedAccount), ImpossibleEvent>> {
        self.events.iter().map(|event| {
            let opened = self.openings.get(&event.account).ok_or(ImpossibleEvent {
                position: event.position,
                finding: "its account was never opened",
            })?;
            Ok((event, opened))
        })
    }
}

/// About what an opening takes of memory: it stays for as long as something is gathered of its account.
fn opening_bytes(opening: &Opening) -> usize {
    /// A node of a map of texts, which is at worst half full.
    const NODE_BYTES: usize = 544;
    const NODE_LABELS: usize = 5;
    let Opening { account_id, owner_id, currency: _, labels } = opening;
    let ids = account_id.as_str().len() + owner_id.as_ref().map_or(0, |id| id.as_str().len());
    let nodes = labels.len().div_ceil(NODE_LABELS) * NODE_BYTES;
    let texts: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    size_of::<Opening>() + ids + nodes + texts
}

/// Folds pages into changes of one view.
#[derive(Debug, Clone)]
pub(crate) enum Projection {
    /// Every account as it stands.
    Accounts,
    /// Statements; keeps the last `entries_max` entries per account, or all if 0.
    Transactions { entries_max: u32 },
    /// The trial balance; the only one that folds on what it has folded.
    Totals(ShardTotals),
}

impl Projection {
    /// Begins at the beginning of the log.
    pub(crate) fn at_genesis(view: View, entries_max: u32) -> Self {
        match view {
            View::Accounts => Self::Accounts,
            View::Transactions => Self::Transactions { entries_max },
            View::Totals => Self::Totals(ShardTotals::default()),
        }
    }

    /// Goes on from a checkpoint. `totals` are those that were read with it, in one step.
    pub(crate) fn at_checkpoint(view: View, checkpoint: &Checkpoint, totals: ShardTotals) -> Self {
        match view {
            View::Accounts => Self::Accounts,
            View::Transactions => Self::Transactions { entries_max: checkpoint.entries_max },
            View::Totals => Self::Totals(totals),
        }
    }

    /// The changes that a page makes. Later changes at the same place win.
    pub(crate) fn fold(&mut self, page: &EventPage<'_>) -> Result<Vec<Change>, ImpossibleEvent> {
        let mut gathered = self.gather();
        for event in page.with_openings() {
            let (event, opened) = event?;
            gathered.add(event, opened);
        }
        self.advance(&gathered);
        Ok(gathered.into_changes().collect())
    }

    /// Nothing gathered yet.
    pub(crate) fn gather(&self) -> Gathered {
        match self {
            Self::Accounts => Gathered::Accounts(account::Gathered::default()),
            Self::Transactions { entries_max } => {
                Gathered::Transactions(transaction::Gathered::new(*entries_max))
            }
            Self::Totals(totals) => Gathered::Totals(totals.clone()),
        }
    }

    /// Goes on behind what was gathered.
    pub(crate) fn advance(&mut self, gathered: &Gathered) {
        if let (Self::Totals(totals), Gathered::Totals(after)) = (self, gathered) {
            totals.clone_from(after);
        }
    }
}

/// What some events change in one view: as much as has to be remembered of them, however many there are.
pub(crate) enum Gathered {
    Accounts(account::Gathered),
    Transactions(transaction::Gathered),
    Totals(ShardTotals),
}

impl Gathered {
    /// Adds the next event.
    pub(crate) fn add(&mut self, event: &RecordedEvent, opened: &OpenedAccount) {
        match self {
            Self::Accounts(gathered) => gathered.add(event, opened),
            Self::Transactions(gathered) => gathered.add(event, opened),
            Self::Totals(totals) => totals::add(totals, event, opened),
        }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Accounts(gathered) => gathered.bytes(),
            Self::Transactions(gathered) => gathered.bytes(),
            Self::Totals(_) => 0,
        }
    }

    /// The changes, made as they are asked for. Later changes at the same place win.
    pub(crate) fn into_changes(self) -> Box<dyn Iterator<Item = Change> + Send> {
        match self {
            Self::Accounts(gathered) => Box::new(gathered.into_changes()),
            Self::Transactions(gathered) => Box::new(gathered.into_changes()),
            Self::Totals(totals) => Box::new(std::iter::once(Change::Totals(totals))),
        }
    }
}

#[cfg(test)]
pub(crate) mod given {
    //! Events for the tests of the projections.

    use std::{collections::HashMap, sync::Arc};

    use ledger::{
        AccountId, AccountNumber, AccountState, Amount, Currency, Event, Opening, OwnerId, Shard,
        Status, StreamVersion, Text, Timestamp,
        event::{Entry, TransferEntry},
    };

    use super::*;

    pub(crate) struct Log {
        pub(crate) events: Vec<RecordedEvent>,
        pub(crate) openings: ByAccount<OpenedAccount>,
        states: HashMap<AccountNumber, AccountState>,
    }

    pub(crate) fn time(position: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + position).unwrap()
    }

    pub(crate) fn account_id(number: i32) -> AccountId {
        AccountId::new(&format!("account-{number}")).unwrap()
    }

    fn text(text: &str) -> Option<Text> {
        Some(Text::new(text).unwrap())
    }

    pub(crate) fn deposit(amount: i64) -> Event {
        Event::MoneyDeposited(Entry {
            amount: Amount::new(amount).unwrap(),
            reference: text("salary"),
            counterparty: None,
            effective_at: None,
        })
    }

    pub(crate) fn withdrawal(amount: i64) -> Event {
        Event::MoneyWithdrawn(Entry {
            amount: Amount::new(amount).unwrap(),
            reference: None,
            counterparty: None,
            effective_at: None,
        })
    }

    impl Log {
        pub(crate) fn new() -> Self {
            Self { events: Vec::new(), openings: ByAccount::default(), states: HashMap::new() }
        }

        pub(crate) fn open(&mut self, number: i32) -> &mut Self {
            let opening = Arc::new(Opening {
                account_id: account_id(number),
                owner_id: Some(OwnerId::new("owner").unwrap()),
                currency: Currency::new("EUR").unwrap(),
                labels: [].into(),
            });
            let opened_at = time(self.next_position().get());
            let number = AccountNumber::new(number).unwrap();
            self.openings.insert(number, OpenedAccount { opening: opening.clone(), opened_at });
            self.happens(number.get(), Event::AccountOpened { opening, overdraft_limit: 0 })
        }

        pub(crate) fn happens(&mut self, number: i32, event: Event) -> &mut Self {
            self.happens_with(number, event, None)
        }

        pub(crate) fn transfer(&mut self, from: i32, to: i32, amount: i64) -> &mut Self {
            let side = |peer| TransferEntry {
                amount: Amount::new(amount).unwrap(),
                reference: None,
                peer: account_id(peer),
                effective_at: None,
            };
            let sent = self.next_position();
            self.happens_with(from, Event::TransferSent(side(to)), Some(sent.plus(1)));
            self.happens_with(to, Event::TransferReceived(side(from)), Some(sent))
        }

        fn happens_with(&mut self, number: i32, event: Event, peer: Option<Position>) -> &mut Self {
            let account = AccountNumber::new(number).unwrap();
            let before = self.states.get(&account).copied();
            let state = ledger::evolve(before, &event).unwrap();
            self.states.insert(account, state);
            let position = self.next_position();
            self.events.push(RecordedEvent {
                shard: Shard::ZERO,
                position,
                recorded_at: time(position.get()),
                account,
                event,
                state,
                request_id: None,
                peer: peer.map(|peer| (Shard::ZERO, peer)),
            });
            self
        }

        fn next_position(&self) -> Position {
            Position::ZERO.plus(self.events.len() + 1)
        }

        /// What all events together change.
        pub(crate) fn fold(&self, projection: &mut Projection) -> Vec<Change> {
            let page = EventPage { events: &self.events, openings: &self.openings };
            projection.fold(&page).unwrap()
        }

        /// What all events change, one page per event.
        pub(crate) fn fold_one_by_one(&self, projection: &mut Projection) -> Vec<Change> {
            let pages = self.events.chunks(1);
            let pages = pages.map(|events| EventPage { events, openings: &self.openings });
            pages.flat_map(|page| projection.fold(&page).unwrap()).collect()
        }
    }

    pub(crate) fn state(version: i64, balance: i64) -> AccountState {
        AccountState {
            version: StreamVersion::new(version).unwrap(),
            balance,
            held: 0,
            overdraft_limit: 0,
            status: Status::Open,
        }
    }
}

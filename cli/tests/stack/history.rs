//! A short history of a bank, appended without any service: every kind of event that columns depend on, in several batches of
//! two shards. The same again with another amount is another history that is just as right.

use std::{collections::BTreeMap, sync::Arc};

use dev_servers::TestServers;
use event_store::{Appender, Attempt, EventData, EventRow, Head, LogIdentity, ShardPart, migrate};
use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, Event, Money, Movement, Opening,
    Operation, OwnerId, Position, Rejection, RequestId, Shard, ShardCount, Text, Timestamp,
    event::{Entry, RejectedCommand, TransferEntry},
};
use uuid::Uuid;

/// An account: its shard, where its id puts it, and its number there.
type Account = (Shard, i32);

const BOB: Account = (Shard::ZERO, 1);
const CAROL: Account = (Shard::ZERO, 2);
const SHARDS: i16 = 2;

/// A log with this history in it.
pub(crate) struct History {
    pub(crate) url: String,
    pub(crate) identity: LogIdentity,
}

struct Pen {
    appender: Appender,
    identity: LogIdentity,
    heads: BTreeMap<Shard, Head>,
    pending: BTreeMap<Shard, Vec<EventRow>>,
    states: BTreeMap<Account, AccountState>,
    requests: u128,
}

impl History {
    /// In a database of its own.
    pub(crate) async fn written() -> Self {
        let history = Self::empty().await;
        history.write(500).await;
        history
    }

    /// The same, and then Bob's id is opened once more, which its index does not notice.
    pub(crate) async fn with_an_account_opened_twice() -> Self {
        let history = Self::empty().await;
        dev_servers::tamper(&history.url, "DROP INDEX counterfoil.events_account_id_key").await;
        let mut pen = history.pen().await;
        pen.write(500).await;
        pen.open((Shard::ZERO, 3), "bob");
        pen.append().await;
        history
    }

    /// The same, and then what no command may do, appended in good order: the writer's login needs no service to append.
    pub(crate) async fn with_rules_broken() -> Self {
        let history = Self::empty().await;
        let mut pen = history.pen().await;
        pen.write(500).await;
        pen.happens(CAROL, Event::MoneyWithdrawn(entry(1)));
        pen.append().await;
        pen.transfer((BOB, "bob"), (BOB, "bob"));
        pen.append().await;
        let erin = (Shard::new(1).unwrap(), 2);
        pen.open_in(erin, "erin", "USD");
        pen.append().await;
        pen.transfer((BOB, "bob"), (erin, "erin"));
        pen.append().await;
        pen.transfer((BOB, "bob"), (CAROL, "nobody"));
        pen.append().await;
        pen.happens(BOB, Event::MoneyDeposited(entry(1)));
        pen.pending.get_mut(&Shard::ZERO).unwrap()[0].request_id = None;
        pen.append().await;
        pen.transfer((BOB, "bob"), (CAROL, "carol"));
        pen.pending.get_mut(&Shard::ZERO).unwrap()[1].reference = Some("other".to_owned());
        pen.append().await;
        pen.open((Shard::new(1).unwrap(), 9), "dave");
        pen.append().await;
        history
    }

    async fn empty() -> Self {
        let url = TestServers::get().database().await;
        let identity = migrate(&url, ShardCount::new(SHARDS)).await.unwrap();
        Self { url, identity }
    }

    /// Writes it, from the beginning of an empty log; `amount` is what Bob begins with.
    pub(crate) async fn write(&self, amount: i64) {
        self.pen().await.write(amount).await;
    }

    async fn pen(&self) -> Pen {
        let identity = self.identity;
        let heads = identity.shards.shards().map(|shard| (shard, identity.empty_head(shard)));
        Pen {
            appender: Appender::connect(&self.url, "counterfoil-append/history").await.unwrap(),
            identity,
            heads: heads.collect(),
            pending: BTreeMap::new(),
            states: BTreeMap::new(),
            requests: 0,
        }
    }
}

impl Pen {
    async fn write(&mut self, amount: i64) {
        let alice = (Shard::new(1).unwrap(), 1);
        self.open(BOB, "bob");
        self.open(CAROL, "carol");
        self.open(alice, "alice");
        self.append().await;
        self.happens(BOB, Event::MoneyDeposited(entry(amount)));
        self.append().await;
        self.transfer((BOB, "bob"), (CAROL, "carol"));
        self.append().await;
        self.transfer((BOB, "bob"), (alice, "alice"));
        self.append().await;
        self.happens(BOB, refused());
        self.happens(CAROL, Event::AccountFrozen);
        self.append().await;
        for amount in 1..=5 {
            self.happens(CAROL, Event::MoneyDeposited(entry(amount)));
            self.happens(alice, Event::MoneyDeposited(entry(amount)));
            self.happens(BOB, Event::BillPaid(entry(amount)));
            self.append().await;
        }
    }

    fn open(&mut self, account: Account, id: &str) {
        self.open_in(account, id, "EUR");
    }

    fn open_in(&mut self, account: Account, id: &str, currency: &str) {
        let opening = Arc::new(Opening {
            account_id: AccountId::new(id).unwrap(),
            owner_id: OwnerId::new("owner").ok(),
            currency: Currency::new(currency).unwrap(),
            labels: [("branch".to_owned(), "7".to_owned())].into(),
        });
        self.happens(account, Event::AccountOpened { opening, overdraft_limit: 70 });
    }

    fn transfer(&mut self, from: (Account, &str), to: (Account, &str)) {
        let side = |peer: &str| TransferEntry {
            amount: Amount::new(20).unwrap(),
            reference: Text::new("rent").ok(),
            peer: AccountId::new(peer).unwrap(),
            effective_at: None,
        };
        let place = |(shard, _): Account, after: usize| {
            (shard, self.heads[&shard].link.position.plus(1 + after))
        };
        let sent = place(from.0, 0);
        let received = place(to.0, usize::from(from.0.0 == to.0.0));
        self.push(from.0, Event::TransferSent(side(to.1)), Some(received));
        self.push(to.0, Event::TransferReceived(side(from.1)), Some(sent));
    }

    fn happens(&mut self, account: Account, event: Event) {
        self.push(account, event, None);
    }

    fn push(&mut self, account: Account, event: Event, peer: Option<(Shard, Position)>) {
        let state = ledger::evolve(self.states.get(&account).copied(), &event).unwrap();
        self.states.insert(account, state);
        self.requests += 1;
        let received = matches!(event, Event::TransferReceived(_));
        let request_id = RequestId::new(Uuid::from_u128(self.requests)).filter(|_| !received);
        let data = EventData {
            account: AccountNumber::new(account.1).unwrap(),
            event,
            state,
            request_id,
            peer,
            actor: self.requests.is_multiple_of(2).then(|| "teller".to_owned()),
            trace_context: self.requests.is_multiple_of(2).then(|| vec![1, 2, 3]),
        };
        self.pending.entry(account.0).or_default().push(data.into_row());
    }

    /// All that has happened since, as one attempt.
    async fn append(&mut self) {
        let parts = std::mem::take(&mut self.pending).into_iter().map(|(shard, rows)| {
            let expected = self.heads[&shard];
            let opened = rows.iter().filter(|row| row.event_type == 1).count();
            let accounts = expected.accounts + i32::try_from(opened).unwrap();
            ShardPart { shard, expected, accounts, rows }
        });
        let attempt = Attempt::new(self.identity.log_id, parts.collect(), None);
        for appended in self.appender.append(&attempt).await.unwrap() {
            self.heads.insert(appended.shard, appended.head);
        }
    }
}

fn entry(amount: i64) -> Entry {
    Entry {
        amount: Amount::new(amount).unwrap(),
        reference: Text::new("reference").ok(),
        counterparty: Text::new("counterparty").ok(),
        effective_at: (amount % 2 == 0)
            .then(|| Timestamp::from_micros(1_700_000_000_000_000))
            .flatten(),
    }
}

fn refused() -> Event {
    let money =
        Money { amount: Amount::new(10_000).unwrap(), currency: Currency::new("EUR").unwrap() };
    let movement = Movement { money, reference: None, counterparty: None, effective_at: None };
    let rejection = Rejection::AccountFrozen { account_id: AccountId::new("bob").unwrap() };
    Event::CommandRejected(Box::new(RejectedCommand {
        operation: Operation::Withdraw(movement),
        expected_version: None,
        rejection,
    }))
}

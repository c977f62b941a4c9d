//! A log in a database of its own, a writer of random but valid history, and what the history comes to by a way
//! of counting that shares nothing with the projector.

use std::{collections::BTreeMap, sync::Arc};

use dev_servers::TestServers;
use event_store::{
    Appender, Attempt, EventData, EventRow, Head, LogIdentity, ShardPart,
    connect::{Connection, Purpose, connect},
    migrate,
};
use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, Event, Opening, OwnerId, Position,
    Rejection, Shard, ShardCount, Text,
    event::{Entry, RejectedCommand, TransferEntry},
};

/// An account as the world knows it.
pub(crate) struct KnownAccount {
    pub(crate) shard: Shard,
    pub(crate) number: AccountNumber,
    pub(crate) opening: Arc<Opening>,
    pub(crate) state: AccountState,
    /// Version and balance after each money movement, oldest first.
    pub(crate) movements: Vec<(i64, i64)>,
}

/// How the world stood at some time.
pub(crate) struct Memory {
    heads: BTreeMap<Shard, Head>,
    accounts: BTreeMap<AccountId, (AccountState, Vec<(i64, i64)>)>,
    deposits: i128,
}

/// The log, its writer, and what was written.
pub(crate) struct World {
    pub(crate) database_url: String,
    pub(crate) identity: LogIdentity,
    pub(crate) accounts: BTreeMap<AccountId, KnownAccount>,
    pub(crate) deposits: i128,
    pub(crate) withdrawals: i128,
    appender: Appender,
    heads: BTreeMap<Shard, Head>,
    pending: BTreeMap<Shard, Vec<EventRow>>,
    random: u64,
}

impl World {
    pub(crate) async fn new(shards: i16) -> Self {
        let database_url = TestServers::get().database().await;
        Self::at(database_url, shards).await
    }

    pub(crate) async fn at(database_url: String, shards: i16) -> Self {
        let shards = ShardCount::new(shards).unwrap();
        let identity = migrate(&database_url, Some(shards)).await.unwrap();
        let appender = Appender::connect(&database_url, "test-append").await.unwrap();
        let heads = shards.shards().map(|shard| (shard, identity.empty_head(shard))).collect();
        Self {
            database_url,
            identity,
            appender,
            heads,
            accounts: BTreeMap::new(),
            deposits: 0,
            withdrawals: 0,
            pending: BTreeMap::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn head(&self, shard: Shard) -> Position {
        self.heads[&shard].link.position
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        self.identity.shards.shards()
    }

    /// The names of the accounts, in the order they were opened in.
    pub(crate) fn account(&self, index: usize) -> AccountId {
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_by_key(|(_, account)| (account.number.get(), account.shard));
        accounts[index].0.clone()
    }

    /// So many commands, in batches of a few, appended one after another.
    pub(crate) async fn happens(&mut self, commands: usize) {
        for _ in 0..commands {
            self.command();
            if self.below(4) == 0 {
                self.append().await;
            }
        }
        self.append().await;
    }

    /// One deposit to every account in one batch.
    pub(crate) async fn everybody_gets_money(&mut self) {
        for id in self.accounts.keys().cloned().collect::<Vec<_>>() {
            self.deposit(&id, 1);
        }
        self.append().await;
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64: the same history in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn command(&mut self) {
        let ids: Vec<_> = self.accounts.keys().cloned().collect();
        if ids.len() < 4 || self.below(10) == 0 {
            let owner = ["ann", "bob", ""][usize::try_from(self.below(3)).unwrap()];
            return self.open(owner);
        }
        let pick = |world: &mut Self| {
            let index = world.below(u64::try_from(ids.len()).unwrap());
            ids[usize::try_from(index).unwrap()].clone()
        };
        let (id, other) = (pick(self), pick(self));
        let amount = i64::try_from(self.below(1000)).unwrap() + 1;
        let balance = self.accounts[&id].state.balance;
        match self.below(10) {
            0..4 => self.deposit(&id, amount),
            4 if balance >= amount => {
                self.withdrawals += i128::from(amount);
                self.happen(&id, Event::MoneyWithdrawn(entry(amount)), None);
            }
            5 if balance >= amount => {
                self.withdrawals += i128::from(amount);
                self.happen(&id, Event::BillPaid(entry(amount)), None);
            }
            6 | 7 if balance >= amount && id != other => self.transfer(&id, &other, amount),
            8 => self.happen(&id, Event::OverdraftLimitSet { overdraft_limit: amount }, None),
            _ => self.happen(&id, rejected(amount), None),
        }
    }

    fn open(&mut self, owner: &str) {
        let id = AccountId::new(&format!("account-{}", self.accounts.len() + 1)).unwrap();
        let shard = id.shard(self.identity.shards);
        let in_shard = self.accounts.values().filter(|account| account.shard == shard).count();
        let number = AccountNumber::new(i32::try_from(in_shard).unwrap() + 1).unwrap();
        let opening = Arc::new(Opening {
            account_id: id.clone(),
            owner_id: OwnerId::new(owner).ok(),
            currency: Currency::new("EUR").unwrap(),
            labels: [("branch".to_owned(), "7".to_owned())].into(),
        });
        let event = Event::AccountOpened { opening: opening.clone(), overdraft_limit: 0 };
        let state = ledger::evolve(None, &event).unwrap();
        let account = KnownAccount { shard, number, opening, state, movements: Vec::new() };
        self.accounts.insert(id.clone(), account);
        self.push(&id, event, None);
    }

    pub(crate) fn deposit(&mut self, id: &AccountId, amount: i64) {
        self.deposits += i128::from(amount);
        self.happen(id, Event::MoneyDeposited(entry(amount)), None);
    }

    fn transfer(&mut self, from: &AccountId, to: &AccountId, amount: i64) {
        let side = |peer: &AccountId| TransferEntry {
            amount: Amount::new(amount).unwrap(),
            reference: Text::new("rent").ok(),
            peer: peer.clone(),
            effective_at: None,
        };
        let place = |world: &Self, id: &AccountId, after: usize| {
            let shard = world.accounts[id].shard;
            let pending = world.pending.get(&shard).map_or(0, Vec::len);
            (shard, world.head(shard).plus(pending + 1 + after))
        };
        let sent = place(self, from, 0);
        let same_shard = self.accounts[from].shard == self.accounts[to].shard;
        let received = place(self, to, usize::from(same_shard));
        self.happen(from, Event::TransferSent(side(to)), Some(received));
        self.happen(to, Event::TransferReceived(side(from)), Some(sent));
    }

    fn happen(&mut self, id: &AccountId, event: Event, peer: Option<(Shard, Position)>) {
        let account = self.accounts.get_mut(id).unwrap();
        let before = account.state;
        account.state = ledger::evolve(Some(before), &event).unwrap();
        if account.state.balance != before.balance {
            account.movements.push((account.state.version.get(), account.state.balance));
        }
        self.push(id, event, peer);
    }

    fn push(&mut self, id: &AccountId, event: Event, peer: Option<(Shard, Position)>) {
        let account = &self.accounts[id];
        let data = EventData {
            account: account.number,
            event,
            state: account.state,
            request_id: None,
            peer,
            actor: None,
            trace_context: None,
        };
        self.pending.entry(account.shard).or_default().push(data.into_row());
    }

    /// Appends what has happened since, as one attempt.
    pub(crate) async fn append(&mut self) {
        let mut parts = Vec::new();
        for (shard, rows) in std::mem::take(&mut self.pending) {
            let expected = self.heads[&shard];
            let opened = rows.iter().filter(|row| row.event_type == 1).count();
            let accounts = expected.accounts + i32::try_from(opened).unwrap();
            parts.push(ShardPart { shard, expected, accounts, rows });
        }
        if parts.is_empty() {
            return;
        }
        let attempt = Attempt::new(self.identity.log_id, parts, None);
        for appended in self.appender.append(&attempt).await.unwrap() {
            self.heads.insert(appended.shard, appended.head);
        }
    }

    /// How things stand, to come back to.
    pub(crate) fn memory(&self) -> Memory {
        let accounts = self
            .accounts
            .iter()
            .map(|(id, known)| (id.clone(), (known.state, known.movements.clone())));
        Memory { heads: self.heads.clone(), accounts: accounts.collect(), deposits: self.deposits }
    }

    /// Forgets what has happened since, which must have been nothing but deposits, as a log that was cut back has.
    pub(crate) fn go_back_to(&mut self, memory: Memory) {
        let Memory { heads, mut accounts, deposits } = memory;
        (self.heads, self.deposits) = (heads, deposits);
        for (id, known) in &mut self.accounts {
            (known.state, known.movements) = accounts.remove(id).unwrap();
        }
    }

    /// As the superuser, who can do what nobody should.
    pub(crate) async fn admin(&self) -> Connection {
        connect(&self.database_url, "test-admin", Purpose::Migrate).await.unwrap()
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.admin().await.client.batch_execute(sql).await.unwrap();
    }

    /// Changes the log as it refuses to be changed.
    pub(crate) async fn tamper(&self, sql: &str) {
        dev_servers::tamper(&self.database_url, sql).await;
    }

    /// Rings the bell, as the write-service does behind every append.
    pub(crate) async fn ring(&self) {
        self.sql("NOTIFY counterfoil_events").await;
    }
}

fn entry(amount: i64) -> Entry {
    Entry {
        amount: Amount::new(amount).unwrap(),
        reference: Text::new(format!("reference {amount}")).ok(),
        counterparty: None,
        effective_at: None,
    }
}

fn rejected(balance: i64) -> Event {
    Event::CommandRejected(Box::new(RejectedCommand {
        operation: ledger::Operation::CloseAccount,
        expected_version: None,
        rejection: Rejection::BalanceNotZero { balance },
    }))
}

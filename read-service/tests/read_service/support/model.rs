//! A read model, and the log it is of, in the hands of a test: every event is written as a projector would write it.

use std::collections::{BTreeMap, HashMap};

use ledger::{
    AccountId, AccountNumber, Amount, ConsistencyToken, Currency, LogId, Position, Shard,
    ShardCount, Status, StreamVersion, Text, TransactionId,
};
use read_model::{
    AccountView, Change, Checkpoint, CurrencyTotals, DEFAULT_KEY_PREFIX, EntryKind, Generation,
    HeadStamp, Keyspace, LogRecord, Page, ShardTotals, StatementEntry, StoreConfig, SwapOutcome,
    View, Writer,
};

use super::events::{account_changes, add, opened, statement_changes, time_of};

/// What happens to an account.
pub(crate) enum Happening<'a> {
    Opened { owner: &'a str, currency: &'a str },
    Moved { kind: EntryKind, amount: i64, peer: Option<&'a str>, of: Option<TransactionId> },
    LimitSet(i64),
    Frozen,
}

/// The log of a test, and its read model.
pub(crate) struct Model {
    pub(crate) writer: Writer,
    pub(crate) log_id: LogId,
    shards: ShardCount,
    entries_max: u32,
    accounts: HashMap<AccountId, (AccountView, StreamVersion)>,
    logs: BTreeMap<Shard, ShardLog>,
    lanes: BTreeMap<(View, Shard), Lane>,
}

#[derive(Default)]
struct ShardLog {
    position: i64,
    totals: ShardTotals,
    accounts: i32,
}

/// One view on one shard.
struct Lane {
    generation: Generation,
    /// Every page there ever was, with the checkpoint after it.
    pages: Vec<(Checkpoint, Vec<Change>)>,
    stored: usize,
    held_back: bool,
}

impl Model {
    /// A new log in this many shards, all views built and empty.
    pub(crate) async fn new(redis_url: &str, shards: i16) -> Self {
        Self::build(redis_url, shards, 1, 0).await
    }

    /// One that keeps so many entries per account.
    pub(crate) async fn keeping(redis_url: &str, entries_max: u32) -> Self {
        Self::build(redis_url, 1, 1, entries_max).await
    }

    /// The same log, restored from a backup and declared to be the log.
    pub(crate) async fn next_incarnation(redis_url: &str, incarnation: i32) -> Self {
        Self::build(redis_url, 1, incarnation, 0).await
    }

    async fn build(redis_url: &str, shards: i16, incarnation: i32, entries_max: u32) -> Self {
        let mut model = Self::claim(redis_url, shards, incarnation, entries_max).await;
        for view in View::ALL {
            for shard in model.shards.shards() {
                let generation = model.begin(view, shard).await;
                let lane = Lane { generation, pages: Vec::new(), stored: 0, held_back: false };
                model.lanes.insert((view, shard), lane);
                model.swap(view, shard, generation).await;
            }
        }
        model
    }

    /// Redis belongs to a new log, of which no view is built.
    pub(crate) async fn claim(
        redis_url: &str,
        shards: i16,
        incarnation: i32,
        entries_max: u32,
    ) -> Self {
        let log_id = LogId(uuid::Uuid::now_v7());
        let writer = Writer::connect(&StoreConfig::new(redis_url)).await.unwrap();
        let shards = ShardCount::new(shards).unwrap();
        let first_log_id = LogId(uuid::Uuid::from_u128(1));
        let record = LogRecord { log_id, first_log_id, incarnation, shards, renewed_at_ms: 0 };
        writer.claim(&record).await.unwrap();
        Self {
            writer,
            log_id,
            shards,
            entries_max,
            accounts: HashMap::new(),
            logs: shards.shards().map(|shard| (shard, ShardLog::default())).collect(),
            lanes: BTreeMap::new(),
        }
    }

    pub(crate) fn shard_of(&self, account: &str) -> Shard {
        AccountId::new(account).unwrap().shard(self.shards)
    }

    /// What the log includes, as a token.
    pub(crate) fn head(&self) -> String {
        let positions = self.logs.iter();
        let positions =
            positions.map(|(shard, log)| (*shard, Position::new(log.position).unwrap()));
        ConsistencyToken { log_id: self.log_id, positions: positions.collect() }.to_string()
    }

    pub(crate) async fn open(&mut self, account: &str, owner: &str) -> String {
        self.happen(account, Happening::Opened { owner, currency: "EUR" }).await
    }

    pub(crate) async fn deposit(&mut self, account: &str, amount: i64) -> String {
        self.movement(account, EntryKind::Deposit, amount).await
    }

    pub(crate) async fn movement(&mut self, account: &str, kind: EntryKind, amount: i64) -> String {
        self.happen(account, Happening::Moved { kind, amount, peer: None, of: None }).await
    }

    /// Both sides of a transfer; returns the transaction's id.
    pub(crate) async fn transfer(&mut self, from: &str, to: &str, amount: i64) -> String {
        let shard = self.shard_of(from);
        let position = Position::new(self.logs[&shard].position + 1).unwrap();
        let id = TransactionId { shard, position };
        let of = Some(id);
        let sent = EntryKind::TransferSent;
        self.happen(from, Happening::Moved { kind: sent, amount, peer: Some(to), of }).await;
        let received = EntryKind::TransferReceived;
        self.happen(to, Happening::Moved { kind: received, amount, peer: Some(from), of }).await;
        id.to_string()
    }

    /// Something happens; it goes to every view that is not held back. Returns the write's token.
    pub(crate) async fn happen(&mut self, account: &str, happening: Happening<'_>) -> String {
        let id = AccountId::new(account).unwrap();
        let shard = id.shard(self.shards);
        let log = self.logs.get_mut(&shard).unwrap();
        log.position += 1;
        let position = Position::new(log.position).unwrap();
        let at = time_of(position);
        let mut movement = None;
        match happening {
            Happening::Opened { owner, currency } => {
                log.accounts += 1;
                let number = AccountNumber::new(log.accounts).unwrap();
                let view = opened(&id, owner, currency, number, (position, at));
                log.totals_of(view.opening.currency).accounts += 1;
                self.accounts.insert(id.clone(), (view, StreamVersion::FIRST));
            }
            Happening::LimitSet(limit) => {
                self.accounts.get_mut(&id).unwrap().0.state.overdraft_limit = limit;
            }
            Happening::Frozen => {
                self.accounts.get_mut(&id).unwrap().0.state.status = Status::Frozen;
            }
            Happening::Moved { kind, amount, peer, of } => {
                let transaction = of.unwrap_or(TransactionId { shard, position });
                movement = Some((kind, amount, peer.map(str::to_owned), transaction));
            }
        }
        let (view, oldest) = self.accounts.get_mut(&id).unwrap();
        if view.position != position {
            view.state.version = view.state.version.next();
        }
        (view.position, view.updated_at) = (position, at);
        let entry = movement.map(|(kind, amount, peer, transaction_id)| {
            let signed = if kind.is_credit() { amount } else { -amount };
            view.state.balance += signed;
            add(log.totals_of(view.opening.currency), kind, amount.into());
            StatementEntry {
                version: view.state.version,
                position,
                transaction_id,
                kind,
                amount: Amount::new(amount).unwrap(),
                balance_after: view.state.balance,
                reference: Some(Text::new(format!("number {position}")).unwrap()),
                counterparty: peer.map(|peer| Text::new(peer).unwrap()),
                effective_at: None,
                recorded_at: at,
            }
        });
        log.totals.position = Some(position);
        if self.entries_max > 0 {
            let kept = view.state.version.get() - i64::from(self.entries_max) + 1;
            *oldest = StreamVersion::new(kept.max(1)).unwrap();
        }
        let changes = [
            (View::Accounts, account_changes(view)),
            (View::Transactions, statement_changes(shard, view, *oldest, entry)),
            (View::Totals, vec![Change::Totals(log.totals.clone())]),
        ];
        for (view, changes) in changes {
            let page = (self.checkpoint(position), changes);
            self.lanes.get_mut(&(view, shard)).unwrap().pages.push(page);
            if !self.lanes[&(view, shard)].held_back {
                self.catch_up(view, shard).await;
            }
        }
        ConsistencyToken::at(self.log_id, shard, position).to_string()
    }

    /// From now on a view stays where it is ...
    pub(crate) fn hold_back(&mut self, view: View) {
        for shard in self.shards.shards() {
            self.lanes.get_mut(&(view, shard)).unwrap().held_back = true;
        }
    }

    /// ... until it is let go.
    pub(crate) async fn let_go(&mut self, view: View) {
        for shard in self.shards.shards() {
            self.lanes.get_mut(&(view, shard)).unwrap().held_back = false;
            self.catch_up(view, shard).await;
        }
    }

    async fn catch_up(&mut self, view: View, shard: Shard) {
        let lane = self.lanes.get_mut(&(view, shard)).unwrap();
        let (generation, from) = (lane.generation, lane.stored);
        lane.stored = lane.pages.len();
        self.store(view, shard, generation, from).await;
    }

    /// Stores again what Redis has lost, from each view's own checkpoint on, as a projector does.
    pub(crate) async fn catch_up_again(&self) {
        while self.writer.check().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        for ((view, shard), lane) in &self.lanes {
            let status = self.writer.status(*view, *shard).await.unwrap();
            let kept = status.visible.unwrap().checkpoint.unwrap();
            let is_kept = |page: &&(Checkpoint, _)| page.0.position <= kept.position;
            let from = lane.pages.iter().take_while(is_kept).count();
            self.store(*view, *shard, lane.generation, from).await;
        }
    }

    /// Stores the pages from this one on.
    async fn store(&self, view: View, shard: Shard, generation: Generation, from: usize) {
        let lane = &self.lanes[&(view, shard)];
        let mut expected = match from.checked_sub(1) {
            Some(last) => lane.pages[last].0,
            None => self.checkpoint(Position::ZERO),
        };
        for (upto, changes) in &lane.pages[from..] {
            let changes = changes.clone();
            let page = Page { view, shard, generation, expected, upto: *upto, changes };
            self.writer.commit(&page).await.unwrap();
            expected = *upto;
        }
    }

    /// Begins a generation beside the visible one.
    pub(crate) async fn begin(&self, view: View, shard: Shard) -> Generation {
        let status = self.writer.status(view, shard).await.unwrap();
        let begun = self.writer.begin(&status, &self.checkpoint(Position::ZERO)).await;
        begun.unwrap().unwrap()
    }

    /// Fills a generation with this many of the view's pages.
    pub(crate) async fn fill(&mut self, view: View, shard: Shard, generation: Generation) {
        let lane = self.lanes.get_mut(&(view, shard)).unwrap();
        (lane.generation, lane.stored) = (generation, lane.pages.len());
        self.store(view, shard, generation, 0).await;
    }

    pub(crate) async fn swap(&self, view: View, shard: Shard, generation: Generation) {
        let status = self.writer.status(view, shard).await.unwrap();
        let swapped = self.writer.swap(&status, generation, None).await.unwrap();
        assert_eq!(swapped, SwapOutcome::Swapped);
    }

    /// Removes the generation that was read before.
    pub(crate) async fn drop_retired(&self, view: View, shard: Shard) {
        let retired = self.writer.status(view, shard).await.unwrap().retired.unwrap();
        assert!(self.writer.drop_generation(view, shard, retired.generation).await.unwrap());
    }

    /// Says that a projector has just seen the head of every shard.
    pub(crate) async fn stamp_heads(&self) {
        let seen_at_ms = self.writer.now_ms().await.unwrap();
        let stamp = |(shard, log): (&Shard, &ShardLog)| {
            let position = Position::new(log.position).unwrap();
            let recorded_at = (log.position > 0).then(|| time_of(position));
            (*shard, HeadStamp { log_id: self.log_id, position, recorded_at, seen_at_ms })
        };
        let stamps: Vec<_> = self.logs.iter().map(stamp).collect();
        self.writer.stamp_heads(&stamps).await.unwrap();
    }

    pub(crate) fn keys(&self) -> Keyspace {
        Keyspace::new(DEFAULT_KEY_PREFIX).unwrap()
    }

    fn checkpoint(&self, position: Position) -> Checkpoint {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&position.get().to_be_bytes());
        let recorded_at = (position > Position::ZERO).then(|| time_of(position));
        let (log_id, entries_max) = (self.log_id, self.entries_max);
        Checkpoint { log_id, position, hash, recorded_at, entries_max }
    }
}

impl ShardLog {
    fn totals_of(&mut self, currency: Currency) -> &mut CurrencyTotals {
        let zero = || CurrencyTotals::zero(currency);
        self.totals.currencies.entry(currency).or_insert_with(zero)
    }
}

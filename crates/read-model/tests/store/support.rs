//! A shard of a read model under a prefix of its own, and small changes to put in it.

use std::{sync::Arc, time::Duration};

use dev_servers::TestServers;
use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, LogId, Opening, OwnerId, Position,
    Shard, Status, StreamVersion, Timestamp, TransactionId,
};
use read_model::{
    AccountView, Change, Checkpoint, EntryKind, Generation, Page, Reader, StatementEntry,
    StatementHeader, StoreConfig, SwapOutcome, View, Writer, acl_users,
};
use uuid::Uuid;

pub(crate) const SHARD: Shard = Shard::ZERO;
pub(crate) const LOG_ID: LogId = LogId(Uuid::from_u128(1));

pub(crate) struct Store {
    /// How the halves of the read model log in.
    pub(crate) config: StoreConfig,
    /// How an operator does.
    admin_url: String,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
}

impl Store {
    /// On the shared Redis, as a user who may do there what a projector may, be told of commits as a read-service may, and
    /// nothing else.
    pub(crate) async fn new() -> Self {
        let servers = TestServers::get();
        let (redis_url, prefix) = (servers.redis(), servers.redis_prefix());
        let [projector, _] = acl_users(&prefix).unwrap();
        let name = format!("{prefix}-{}", projector.name);
        let rules = format!("{} +subscribe +unsubscribe", projector.rules);
        let url = add_user(&redis_url, &name, &rules).await;
        Self { admin_url: redis_url, ..Self::at(&url, &prefix).await }
    }

    pub(crate) async fn at(redis_url: &str, prefix: &str) -> Self {
        let mut config = StoreConfig::new(redis_url);
        config.key_prefix = prefix.to_owned();
        let writer = Writer::connect(&config).await.unwrap();
        let reader = Reader::connect(&config).await.unwrap();
        Self { config, admin_url: redis_url.to_owned(), writer, reader }
    }

    /// A generation at position 0 that queries do not see yet.
    pub(crate) async fn begin(&self, view: View) -> Generation {
        let status = self.writer.status(view, SHARD).await.unwrap();
        self.writer.begin(&status, &checkpoint(0)).await.unwrap().unwrap()
    }

    /// A generation at position 0 that queries see.
    pub(crate) async fn visible(&self, view: View) -> Generation {
        let generation = self.begin(view).await;
        assert_eq!(self.swap(view, generation).await, SwapOutcome::Swapped);
        generation
    }

    pub(crate) async fn swap(&self, view: View, target: Generation) -> SwapOutcome {
        let status = self.writer.status(view, SHARD).await.unwrap();
        self.writer.swap(&status, target, None).await.unwrap()
    }

    /// Runs one plain Redis command, as an operator would by hand.
    pub(crate) async fn redis(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.admin_url.as_str()).unwrap();
        let patience = Some(Duration::from_secs(20));
        let patient = redis::AsyncConnectionConfig::new()
            .set_response_timeout(patience)
            .set_connection_timeout(patience);
        let connection = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = connection.await.unwrap();
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.unwrap()
    }

    /// Sets a key to some bytes by hand.
    pub(crate) async fn set(&self, key: &str, value: &[u8]) {
        let client = redis::Client::open(self.admin_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut set = redis::cmd("SET");
        let () = set.arg(key).arg(value).query_async(&mut connection).await.unwrap();
    }

    /// Everything under the prefix, to compare before and after.
    pub(crate) async fn dump(&self) -> Vec<(String, String)> {
        let pattern = format!("{}:*", self.config.key_prefix);
        let keys: Vec<String> =
            redis::FromRedisValue::from_redis_value(self.redis(&["KEYS", &pattern]).await).unwrap();
        let mut dump = Vec::new();
        for key in keys {
            let value = self.redis(&["DUMP", &key]).await;
            dump.push((key, format!("{value:?}")));
        }
        dump.sort();
        dump
    }
}

/// Makes a user and returns where it connects.
pub(crate) async fn add_user(redis_url: &str, name: &str, rules: &str) -> String {
    let client = redis::Client::open(redis_url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set_user = redis::cmd("ACL");
    set_user.arg("SETUSER").arg(name).arg(">word").arg(rules.split(' ').collect::<Vec<_>>());
    let () = set_user.query_async(&mut connection).await.unwrap();
    redis_url.replacen("redis://", &format!("redis://{name}:word@"), 1)
}

pub(crate) fn page(
    view: View,
    generation: Generation,
    (from, to): (i64, i64),
    changes: Vec<Change>,
) -> Page {
    let (expected, upto) = (checkpoint(from), checkpoint(to));
    Page { view, shard: SHARD, generation, expected, upto, changes }
}

pub(crate) fn checkpoint(at: i64) -> Checkpoint {
    Checkpoint {
        log_id: LOG_ID,
        position: position(at),
        hash: [at.to_be_bytes()[7]; 32],
        recorded_at: (at > 0).then(|| time(at)),
        entries_max: 0,
    }
}

pub(crate) fn account_id(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub(crate) fn owner() -> OwnerId {
    OwnerId::new("owner").unwrap()
}

pub(crate) fn position(at: i64) -> Position {
    Position::new(at).unwrap()
}

pub(crate) fn version(number: i64) -> StreamVersion {
    StreamVersion::new(number).unwrap()
}

pub(crate) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros).unwrap()
}

/// An account whose last event is at a position.
pub(crate) fn account(id: &str, at: i64, balance: i64) -> Change {
    Change::Account(view(id, at, balance))
}

pub(crate) fn view(id: &str, at: i64, balance: i64) -> AccountView {
    AccountView {
        number: AccountNumber::new(1).unwrap(),
        opening: Arc::new(Opening {
            account_id: account_id(id),
            owner_id: Some(owner()),
            currency: Currency::new("EUR").unwrap(),
            labels: [].into(),
        }),
        state: AccountState {
            version: version(at),
            balance,
            held: 0,
            overdraft_limit: 0,
            status: Status::Open,
        },
        position: position(at),
        opened_at: time(0),
        updated_at: time(at),
    }
}

pub(crate) fn owned(id: &str) -> Change {
    Change::Owned { owner_id: owner(), account_id: account_id(id) }
}

pub(crate) fn header(id: &str, at: i64) -> Change {
    header_from(id, at, 1)
}

pub(crate) fn header_from(id: &str, at: i64, oldest: i64) -> Change {
    let header = StatementHeader {
        number: AccountNumber::new(1).unwrap(),
        currency: Currency::new("EUR").unwrap(),
        version: version(at),
        oldest: version(oldest),
        position: position(at),
    };
    Change::Header { account_id: account_id(id), header }
}

pub(crate) fn latest(id: &str, at: i64, newest: i64) -> Change {
    let Change::Header { account_id, header } = header(id, at) else { unreachable!() };
    let entry = entry(newest);
    Change::Latest { account_id, header, version: entry.version, entry: entry.pack(SHARD) }
}

/// The account with number 1, as that of [`header`] is.
pub(crate) fn numbered(id: &str) -> Change {
    Change::Numbered { number: AccountNumber::new(1).unwrap(), account_id: account_id(id) }
}

/// A transaction of the account with number 1, whose version and position are the same.
pub(crate) fn indexed(at: i64) -> Change {
    let account = AccountNumber::new(1).unwrap();
    Change::Indexed { position: position(at), account, version: version(at) }
}

/// An entry whose version and position are the same.
pub(crate) fn entry(at: i64) -> StatementEntry {
    StatementEntry {
        version: version(at),
        position: position(at),
        transaction_id: TransactionId { shard: SHARD, position: position(at) },
        kind: EntryKind::Deposit,
        amount: Amount::new(10).unwrap(),
        balance_after: at * 10,
        reference: None,
        counterparty: None,
        effective_at: None,
        recorded_at: time(at),
    }
}

pub(crate) fn stored_entry(id: &str, at: i64) -> Change {
    let entry = entry(at);
    Change::Entry { account_id: account_id(id), version: entry.version, entry: entry.pack(SHARD) }
}

pub(crate) fn no_entry(id: &str, at: i64) -> Change {
    Change::NoEntry { account_id: account_id(id), version: version(at) }
}

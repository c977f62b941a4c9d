//! A fresh log per test, and rows to put in it.

use event_store::{
    AppendError, Appender, Attempt, ChainLink, Error, EventData, EventRow, Head, LogCopy,
    LogIdentity, LogReader, RecordedBatch, ShardPart,
    connect::{Connection, Purpose, connect},
    migrate,
};
use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, Event, Opening, RequestId, Shard,
    ShardCount, Status, StreamVersion, event::Entry,
};
use uuid::Uuid;

pub(crate) struct Log {
    pub(crate) url: String,
    pub(crate) identity: LogIdentity,
}

impl Log {
    pub(crate) async fn create() -> Self {
        Self::create_with(ShardCount::ONE).await
    }

    pub(crate) async fn create_with(shards: ShardCount) -> Self {
        let url = dev_servers::TestServers::get().database().await;
        let identity = migrate(&url, Some(shards)).await.unwrap();
        Self { url, identity }
    }

    pub(crate) async fn reader(&self) -> LogReader {
        LogReader::connect(&self.url, "test-reader").await.unwrap()
    }

    /// Everything after a place, as one who builds views reads it.
    pub(crate) async fn copied(&self, after: &ChainLink) -> Result<Vec<RecordedBatch>, Error> {
        let mut log = LogCopy::new(self.reader().await, Shard::ZERO, *after);
        let mut batches = Vec::new();
        while let Some(batch) = log.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    pub(crate) async fn appender(&self) -> Appender {
        Appender::connect(&self.url, "counterfoil-append/test").await.unwrap()
    }

    pub(crate) fn attempt(
        &self,
        parts: &[(Shard, Option<Head>, Vec<EventRow>)],
        previous: Option<&Attempt>,
    ) -> Attempt {
        let parts = parts.iter().map(|(shard, head, rows)| {
            let expected = head.unwrap_or_else(|| self.identity.empty_head(*shard));
            let opened = rows.iter().filter(|row| row.event_type == 1).count();
            let accounts = expected.accounts + i32::try_from(opened).unwrap();
            ShardPart { shard: *shard, expected, accounts, rows: rows.clone() }
        });
        Attempt::new(self.identity.log_id, parts.collect(), previous.and_then(Attempt::mark))
    }

    pub(crate) async fn append(
        &self,
        head: Option<Head>,
        rows: Vec<EventRow>,
    ) -> Result<Head, AppendError> {
        let attempt = self.attempt(&[(Shard::ZERO, head, rows)], None);
        let appended = self.appender().await.append(&attempt).await?;
        Ok(appended[0].head)
    }

    async fn admin(&self) -> Connection {
        connect(&self.url, "test-admin", Purpose::Migrate).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.admin().await.client.batch_execute(sql).await.unwrap();
    }

    /// Changes the log as it refuses to be changed.
    pub(crate) async fn tamper(&self, sql: &str) {
        dev_servers::tamper(&self.url, sql).await;
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.admin().await.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn count_events(&self) -> i64 {
        self.number("SELECT count(*) FROM counterfoil.events").await
    }

    pub(crate) fn database_name(&self) -> String {
        self.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
    }

    /// A transaction that has looked at the log and does not end.
    pub(crate) async fn old_snapshot(&self) -> Connection {
        let admin = self.admin().await;
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM counterfoil.events";
        admin.client.batch_execute(sql).await.unwrap();
        admin
    }

    /// A transaction that has taken the first place of the log and does not end.
    pub(crate) async fn hold_head(&self) -> Connection {
        let admin = self.admin().await;
        let sql = "BEGIN; INSERT INTO counterfoil.batches (first_position, last_position, recorded_at, attempt, accounts, shard,
                       format, digest, hash)
                   VALUES (1, 1, now(), gen_random_uuid(), 1, 0, 1, sha256(''), sha256(''))";
        admin.client.batch_execute(sql).await.unwrap();
        admin
    }
}

pub(crate) fn request_id(number: i64) -> RequestId {
    RequestId::new(Uuid::from_u128(u128::from(number.unsigned_abs()))).unwrap()
}

fn state(version: i64, balance: i64) -> AccountState {
    let version = StreamVersion::new(version).unwrap();
    AccountState { version, balance, held: 0, overdraft_limit: 0, status: Status::Open }
}

pub(crate) fn opening(id: &str, number: i32) -> EventRow {
    let opening = Opening {
        account_id: AccountId::new(id).unwrap(),
        owner_id: None,
        currency: Currency::new("EUR").unwrap(),
        labels: [("branch".to_owned(), "7".to_owned())].into(),
    };
    row(
        number,
        Event::AccountOpened { opening: opening.into(), overdraft_limit: 0 },
        state(1, 0),
        None,
    )
}

pub(crate) fn deposit(number: i32, version: i64, amount: i64, request: i64) -> EventRow {
    let amount = Amount::new(amount).unwrap();
    let entry = Entry { amount, reference: None, counterparty: None, effective_at: None };
    row(number, Event::MoneyDeposited(entry), state(version, 500), Some(request_id(request)))
}

fn row(number: i32, event: Event, state: AccountState, request_id: Option<RequestId>) -> EventRow {
    let account = AccountNumber::new(number).unwrap();
    EventData { account, event, state, request_id, peer: None, actor: None, trace_context: None }
        .into_row()
}

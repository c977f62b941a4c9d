//! Appending: one statement, all or nothing, and an answer that says exactly what is certain.

use std::{future::Future, sync::Arc};

use ledger::{LogId, Position, Shard, Timestamp};
use tokio_postgres::{
    Statement,
    error::{Severity, SqlState},
    types::ToSql,
};
use uuid::Uuid;

use crate::{
    Error, EventRow,
    chain::{self, ChainLink, DigestInput, FORMAT, Head},
    connect::{ANSWER_PATIENCE, Connection, Purpose, answer_in_time, connect},
    sql_types::SqlTime,
};

const APPEND: &str = include_str!("../sql/append.sql");

/// The rows for one shard of an attempt.
#[derive(Debug, Clone)]
pub struct ShardPart {
    /// The shard.
    pub shard: Shard,
    /// The head that the rows were decided on.
    pub expected: Head,
    /// Accounts ever opened in the shard, these rows included.
    pub accounts: i32,
    /// The rows, in order.
    pub rows: Vec<EventRow>,
}

/// One attempt to append rows to one or several shards.
///
/// Made anew for every try: no two have the same digest, so whatever batch stands at its place, other than itself, proves that this one and all that follow it are not in the log.
#[derive(Debug)]
pub struct Attempt {
    log_id: LogId,
    previous: Option<AttemptMark>,
    id: Uuid,
    parts: Vec<(ShardPart, [u8; 32])>,
}

/// What identifies an attempt in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptMark {
    shard: Shard,
    first: Position,
    digest: [u8; 32],
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The shard.
    pub shard: Shard,
    /// The new head.
    pub head: Head,
}

impl Appended {
    /// Whether its hash is that of this batch behind `before`. An answer that went to another attempt is told by it.
    #[must_use]
    pub fn follows(&self, before: &ChainLink) -> bool {
        let ChainLink { position, digest, hash } = &self.head.link;
        let first = before.position.plus(1);
        self.head.recorded_at.is_some_and(|recorded_at| {
            chain::hash(&before.hash, digest, first, *position, recorded_at) == *hash
        })
    }
}

/// Why an attempt failed. Each variant says what is certain about the attempt.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Not applied: another append was first, or the batch before this one failed.
    #[error("the head of the log has moved")]
    HeadMoved,
    /// Not applied: a command of the batch is in the log already.
    #[error("a request id of the batch is in the log already")]
    RequestIdTaken,
    /// Not applied: the log was declared to be another one.
    #[error("the log is another incarnation")]
    LogChanged,
    /// Not applied: another append holds the head and does not end.
    #[error("another append holds the head of the log")]
    HeadBusy,
    /// Not applied: the rows contradict the log. What was decided on was not how things stand.
    #[error("the log refused rows that contradict it")]
    Contradiction(#[source] tokio_postgres::Error),
    /// Not applied: the database cannot store anything now.
    #[error("the database cannot store")]
    Storage(#[source] tokio_postgres::Error),
    /// Nobody knows: nothing came back in time.
    #[error("the database does not answer")]
    Silent,
    /// Nobody knows: the connection was lost, or the answer was not one that is known to be certain.
    #[error("the outcome of the append is unknown")]
    Unknown(#[source] tokio_postgres::Error),
}

impl Attempt {
    /// Prepares an attempt. `parts` are sorted by shard. `previous` is the attempt sent just before on the same connection
    /// whose answer has not come yet.
    #[must_use]
    pub fn new(log_id: LogId, mut parts: Vec<ShardPart>, previous: Option<AttemptMark>) -> Self {
        parts.sort_by_key(|part| part.shard);
        let id = Uuid::new_v4();
        let parts = parts
            .into_iter()
            .map(|part| {
                let input = DigestInput {
                    previous: &part.expected.link.digest,
                    attempt: id,
                    shard: part.shard,
                    first: part.expected.link.position.plus(1),
                    accounts: part.accounts,
                };
                let digest = chain::digest(&input, &part.rows);
                (part, digest)
            })
            .collect();
        Self { log_id, previous, id, parts }
    }

    /// What identifies it; `None` if it has no rows.
    #[must_use]
    pub fn mark(&self) -> Option<AttemptMark> {
        let (part, digest) = self.parts.first()?;
        let first = part.expected.link.position.plus(1);
        Some(AttemptMark { shard: part.shard, first, digest: *digest })
    }

    /// The heads as they will be when this is in the log. Their hashes and times are not known yet.
    pub fn heads_after(&self) -> impl Iterator<Item = (Shard, Head)> + '_ {
        self.parts.iter().map(|(part, digest)| {
            let position = part.expected.link.position.plus(part.rows.len());
            let link = ChainLink { position, digest: *digest, hash: [0; 32] };
            (part.shard, Head { link, recorded_at: None, accounts: part.accounts })
        })
    }
}

/// The connection that appends. Attempts sent one after another run in that order.
#[derive(Debug, Clone)]
pub struct Appender {
    connection: Arc<Connection>,
    statement: Statement,
}

impl Appender {
    /// Connects. `application_name` must be this connection's own: by it [`crate::Control`] ends what is left of it.
    ///
    /// # Errors
    /// When the database cannot be reached or lacks the schema.
    pub async fn connect(url: &str, application_name: &str) -> Result<Self, Error> {
        let connection = connect(url, application_name, Purpose::Append).await?;
        crate::safety::check_commits(&connection).await?;
        let statement =
            answer_in_time("prepare the append", connection.client.prepare(APPEND)).await?;
        Ok(Self { connection: Arc::new(connection), statement })
    }

    /// Whether the connection is known to be lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }

    /// Waits until the connection is known to be lost.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Sends an attempt on its first poll. The answer comes only after the database has answered in full.
    pub fn append(
        &self,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<Vec<Appended>, AppendError>> + Send + use<> {
        let columns = Columns::of(attempt);
        let heads: Vec<_> = attempt.heads_after().collect();
        let this = self.clone();
        async move {
            let parameters = columns.parameters();
            let silent = |_injected| AppendError::Silent;
            failpoints::before("append").map_err(silent)?;
            let answer = this.connection.client.query(&this.statement, &parameters);
            let rows = match tokio::time::timeout(ANSWER_PATIENCE, answer).await {
                Ok(answer) => answer.map_err(sort_error)?,
                Err(_) => return Err(AppendError::Silent),
            };
            failpoints::after("append").await.map_err(silent)?;
            heads
                .into_iter()
                .zip(rows)
                .map(|((shard, mut head), row)| {
                    let time: SqlTime = row.try_get(0).map_err(AppendError::Unknown)?;
                    let hash: &[u8] = row.try_get(1).map_err(AppendError::Unknown)?;
                    head.link.hash.copy_from_slice(&hash[..32]); // sha256 has 32 bytes
                    head.recorded_at = Some(time.0);
                    Ok(Appended { shard, head })
                })
                .collect()
        }
    }
}

/// What is certain after an error. Whatever the server calls an error, and not the end of the session, has aborted the
/// statement with its transaction: after a commit there are no errors any more. Treated as unknown it would be tried for ever.
/// Not so what says of itself that nobody knows: something between us and the server has lost it.
fn sort_error(cause: tokio_postgres::Error) -> AppendError {
    let Some(refusal) = cause.as_db_error() else {
        return AppendError::Unknown(cause);
    };
    let constraint = refusal.constraint().unwrap_or_default();
    let code = refusal.code();
    match code.code() {
        "40003" => return AppendError::Unknown(cause),
        lost if lost.starts_with("08") => return AppendError::Unknown(cause),
        "CF001" => return AppendError::HeadMoved,
        "CF002" => return AppendError::LogChanged,
        "CF003" => return AppendError::Contradiction(cause),
        _ => {}
    }
    match (code, constraint) {
        (&SqlState::UNIQUE_VIOLATION, "batches_pkey") => AppendError::HeadMoved,
        (&SqlState::UNIQUE_VIOLATION, "events_request_id_key") => AppendError::RequestIdTaken,
        (
            &SqlState::UNIQUE_VIOLATION
            | &SqlState::CHECK_VIOLATION
            | &SqlState::NOT_NULL_VIOLATION,
            _,
        ) => AppendError::Contradiction(cause),
        (&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED, _) => {
            AppendError::HeadMoved
        }
        (&SqlState::LOCK_NOT_AVAILABLE, _) => AppendError::HeadBusy,
        _ if refusal.parsed_severity() == Some(Severity::Error) => AppendError::Storage(cause),
        _ => AppendError::Unknown(cause),
    }
}

/// The attempt as the parameters of `append.sql`: one array per column.
#[derive(Debug)]
struct Columns {
    log_id: Uuid,
    previous: (Option<i16>, Option<i64>, Option<Vec<u8>>),
    attempt: Uuid,
    shards: Vec<i16>,
    expected_positions: Vec<i64>,
    expected_digests: Vec<Vec<u8>>,
    counts: Vec<i32>,
    accounts: Vec<i32>,
    digests: Vec<Vec<u8>>,
    account: Vec<i32>,
    event_type: Vec<i16>,
    version: Vec<i64>,
    balance: Vec<i64>,
    status: Vec<i16>,
    amount: Vec<Option<i64>>,
    request_id: Vec<Option<Uuid>>,
    rare: RareColumns,
}

/// Columns that most batches have nothing in; they are then sent as one NULL.
#[derive(Debug)]
struct RareColumns {
    held: Option<Vec<Option<i64>>>,
    overdraft_limit: Option<Vec<Option<i64>>>,
    peer_shard: Option<Vec<Option<i16>>>,
    peer_position: Option<Vec<Option<i64>>>,
    effective_at: Option<Vec<Option<SqlTime>>>,
    schema_version: Option<Vec<Option<i16>>>,
    account_id: Option<Vec<Option<String>>>,
    owner_id: Option<Vec<Option<String>>>,
    currency: Option<Vec<Option<String>>>,
    reference: Option<Vec<Option<String>>>,
    counterparty: Option<Vec<Option<String>>>,
    actor: Option<Vec<Option<String>>>,
    trace_context: Option<Vec<Option<Vec<u8>>>>,
    details: Option<Vec<Option<Vec<u8>>>>,
}

impl Columns {
    fn of(attempt: &Attempt) -> Self {
        let parts = &attempt.parts;
        let rows: Vec<&EventRow> = parts.iter().flat_map(|(part, _)| &part.rows).collect();
        let previous = attempt.previous;
        Self {
            log_id: attempt.log_id.0,
            previous: (
                previous.map(|mark| mark.shard.get()),
                previous.map(|mark| mark.first.get()),
                previous.map(|mark| mark.digest.to_vec()),
            ),
            attempt: attempt.id,
            shards: parts.iter().map(|(part, _)| part.shard.get()).collect(),
            expected_positions: parts
                .iter()
                .map(|(part, _)| part.expected.link.position.get())
                .collect(),
            expected_digests: parts
                .iter()
                .map(|(part, _)| part.expected.link.digest.to_vec())
                .collect(),
            counts: parts
                .iter()
                .map(|(part, _)| i32::try_from(part.rows.len()).unwrap_or(i32::MAX))
                .collect(),
            accounts: parts.iter().map(|(part, _)| part.accounts).collect(),
            digests: parts.iter().map(|(_, digest)| digest.to_vec()).collect(),
            account: rows.iter().map(|row| row.account).collect(),
            event_type: rows.iter().map(|row| row.event_type).collect(),
            version: rows.iter().map(|row| row.version).collect(),
            balance: rows.iter().map(|row| row.balance).collect(),
            status: rows.iter().map(|row| row.status).collect(),
            amount: rows.iter().map(|row| row.amount).collect(),
            request_id: rows.iter().map(|row| row.request_id).collect(),
            rare: RareColumns {
                held: rare(&rows, |row| row.held),
                overdraft_limit: rare(&rows, |row| row.overdraft_limit),
                peer_shard: rare(&rows, |row| row.peer_shard),
                peer_position: rare(&rows, |row| row.peer_position),
                effective_at: rare(&rows, |row| row.effective_at.map(SqlTime)),
                schema_version: rare(&rows, |row| row.schema_version),
                account_id: rare(&rows, |row| row.account_id.clone()),
                owner_id: rare(&rows, |row| row.owner_id.clone()),
                currency: rare(&rows, |row| row.currency.clone()),
                reference: rare(&rows, |row| row.reference.clone()),
                counterparty: rare(&rows, |row| row.counterparty.clone()),
                actor: rare(&rows, |row| row.actor.clone()),
                trace_context: rare(&rows, |row| row.trace_context.clone()),
                details: rare(&rows, |row| row.details.clone()),
            },
        }
    }

    /// In the order of `append.sql`.
    fn parameters(&self) -> [&(dyn ToSql + Sync); 33] {
        let rare = &self.rare;
        [
            &self.log_id,
            &self.previous.0,
            &self.previous.1,
            &self.previous.2,
            &self.shards,
            &self.expected_positions,
            &self.expected_digests,
            &self.counts,
            &self.accounts,
            &self.attempt,
            &FORMAT,
            &self.digests,
            &self.account,
            &self.event_type,
            &self.version,
            &self.balance,
            &self.status,
            &self.amount,
            &self.request_id,
            &rare.held,
            &rare.overdraft_limit,
            &rare.peer_shard,
            &rare.peer_position,
            &rare.effective_at,
            &rare.schema_version,
            &rare.account_id,
            &rare.owner_id,
            &rare.currency,
            &rare.reference,
            &rare.counterparty,
            &rare.actor,
            &rare.trace_context,
            &rare.details,
        ]
    }
}

fn rare<T>(rows: &[&EventRow], column: impl Fn(&EventRow) -> Option<T>) -> Option<Vec<Option<T>>> {
    let values: Vec<_> = rows.iter().map(|row| column(row)).collect();
    values.iter().any(Option::is_some).then_some(values)
}

/// When a batch was recorded, from its head.
#[must_use]
pub fn recorded_at(appended: &Appended) -> Timestamp {
    appended.head.recorded_at.unwrap_or(Timestamp::MIN) // the database always says
}

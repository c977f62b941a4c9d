//! Runs in which the log itself is damaged: everything has to stop there, say so by position, and go on telling the truth of what
//! is before.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use event_store::{
    Appender, Attempt, EventRow, LogReader, ShardPart,
    row::event_type::{ACCOUNT_OPENED, MONEY_DEPOSITED},
};
use ledger::Shard;
use proto::read;
use tokio::time::sleep;
use tokio_postgres::SimpleQueryMessage;

use super::{
    row::Damage,
    run::{Order, Ran},
    tally::Count,
};
use crate::{
    dice::Dice,
    history::History,
    oracles::{Oracle, Verdict},
    process::logs_folder,
    system::{Size, System, as_superuser, counterfoil},
    traffic::{QUIET_ACCOUNT, Traffic},
    witness::until_caught_up,
};

const NOTICED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is done to the rows, and what `verify` has to say about it. `{}` is a position in the middle of the log.
const EDITS: [(&str, &str); 4] = [
    (
        "a balance is edited",
        "UPDATE counterfoil.events SET balance = balance + 1 WHERE position = {}",
    ),
    (
        "an amount is edited",
        "UPDATE counterfoil.events SET amount = 1 + coalesce(amount, 0) WHERE position = {}",
    ),
    ("a row is deleted", "DELETE FROM counterfoil.events WHERE position = {}"),
    (
        "a row says who sent it",
        "UPDATE counterfoil.events SET actor = 'nobody' WHERE position = {}",
    ),
];

/// What is judged of such a run.
struct Special {
    verdict: Verdict,
    counts: BTreeMap<&'static str, Count>,
}

impl Special {
    /// Something was done to the log. Whether it was is for the oracle too: nothing else is worth judging then.
    fn done(&mut self, what: &'static str, done: bool, finding: impl FnOnce() -> String) {
        let count = self.counts.entry(what).or_default();
        count.injected += 1;
        count.reached += u64::from(done);
        self.judge(done, finding);
    }

    fn judge(&mut self, right: bool, finding: impl FnOnce() -> String) {
        self.verdict.judge(right, finding);
    }
}

/// Does one run.
pub(super) async fn run(order: Order, damage: Damage) -> Ran {
    let dice = Dice::new(order.seed).of(u64::from(order.row.number));
    let system = System::start(Size::smallest(1)).await;
    let history = std::sync::Arc::new(History::default());
    Traffic::prepare(&system.clients, &history).await;
    let traffic = Traffic::start(&system.clients, history.clone(), &dice, (4, 1));
    sleep(Duration::from_secs(2)).await;
    traffic.settle(Duration::from_secs(30)).await;
    until_caught_up(&system).await;
    let mut special = Special { verdict: Verdict::default(), counts: BTreeMap::new() };
    match damage {
        Damage::Unreadable => unreadable(&system, &mut special).await,
        Damage::Edited => edited(&system, dice, &mut special).await,
    }
    for process in system.processes() {
        special.judge(!process.has_panicked(), || {
            format!("a process panicked; its log: {}", process.log())
        });
    }
    let (calls, reads) = history.take();
    Ran {
        order,
        counts: special.counts,
        verdicts: [(Oracle::LogForm, special.verdict)].into(),
        recoveries: Vec::new(),
        calls: [("sent", calls.len() as u64)].into(),
        reads: [("sent", reads.len() as u64)].into(),
        staleness: [Vec::new(), Vec::new()],
        logs: logs_folder().display().to_string(),
    }
}

/// A batch that a later version has written stands at the end of the log: well chained, but its event is of a type that nobody here
/// knows.
async fn unreadable(system: &System, special: &mut Special) {
    let head = head(system).await;
    let done = append_unknown_event(&system.database_url).await;
    special.done("an event of a later version", done.is_ok(), || format!("{done:?}"));
    let stopped = until(|| async {
        system.projectors.iter().all(|projector| projector.log_text().contains("later version"))
    });
    let stopped = stopped.await;
    special.judge(stopped, || "no projector says that it stops".into());
    let query = read::GetReadModelStatusRequest::default();
    let status = system.read_client(0).get_read_model_status(query).await;
    let positions: Vec<i64> = status
        .map(|status| status.into_inner().views.iter().map(|view| view.position).collect())
        .unwrap_or_default();
    special.judge(!positions.is_empty() && positions.iter().all(|at| *at == head), || {
        format!("views are at {positions:?}, and the event is behind {head}")
    });
    let query = read::GetBalanceRequest { account_id: "account-1".into(), consistency: None };
    let answer = system.read_client(0).get_balance(query).await;
    let as_of = answer.as_ref().map(|a| a.get_ref().read.as_ref().map(|read| read.as_of.clone()));
    let says = as_of.as_ref().is_ok_and(|as_of| {
        as_of.as_ref().is_some_and(|as_of| as_of.ends_with(&format!(".0-{head}")))
    });
    special.judge(says, || format!("{as_of:?}, not {head}"));
}

async fn append_unknown_event(database_url: &str) -> Result<(), String> {
    append(database_url, |_| {
        let (account, event_type, version, status) = (1, 99, 1_000_000, 1);
        vec![EventRow { account, event_type, version, status, ..EventRow::default() }]
    })
    .await
}

/// Deposits, in one batch that ends at `upto`, into the account that nobody else has written to.
async fn append_other_events(system: &System, upto: i64) -> Result<(), String> {
    let question = format!(
        "SELECT account, version, balance FROM counterfoil.events WHERE account =
             (SELECT account FROM counterfoil.events WHERE account_id = '{QUIET_ACCOUNT}' AND event_type = {ACCOUNT_OPENED})
         ORDER BY version DESC LIMIT 1"
    );
    let rows = as_superuser(&system.database_url, &question).await.unwrap();
    let [account, version, balance] = [0, 1, 2].map(|column| first_number(&rows, column).unwrap());
    append(&system.database_url, |end| {
        let deposit = |number| EventRow {
            account: i32::try_from(account).unwrap(),
            event_type: MONEY_DEPOSITED,
            version: version + number,
            balance: balance + number,
            status: 1,
            amount: Some(1),
            ..EventRow::default()
        };
        (1..=upto - end).map(deposit).collect()
    })
    .await
}

/// Appends a batch past all services. `rows` is given the position that the log ends at.
async fn append(database_url: &str, rows: impl FnOnce(i64) -> Vec<EventRow>) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let reader = LogReader::connect(database_url, "later").await.map_err(|e| said(&e))?;
    let identity = reader.identity().await.map_err(|e| said(&e))?;
    let expected = reader.head(Shard::ZERO).await.map_err(|e| said(&e))?.ok_or("an empty log")?;
    let rows = rows(expected.link.position.get());
    let part = ShardPart { shard: Shard::ZERO, expected, accounts: expected.accounts, rows };
    let appender = Appender::connect(database_url, "later").await.map_err(|e| said(&e))?;
    let attempt = Attempt::new(identity.log_id, vec![part], None);
    appender.append(&attempt).await.map_err(|e| said(&e)).map(drop)
}

/// Rows are edited one way after another, each undone by restoring what was there; then the end is cut off.
async fn edited(system: &System, mut dice: Dice, special: &mut Special) {
    let head = head(system).await;
    let copy = "CREATE TABLE public.events_copy AS TABLE counterfoil.events;
        CREATE TABLE public.batches_copy AS TABLE counterfoil.batches";
    as_superuser(&system.database_url, copy).await.unwrap();
    let restore = "TRUNCATE counterfoil.events, counterfoil.batches;
        INSERT INTO counterfoil.events SELECT * FROM public.events_copy;
        INSERT INTO counterfoil.batches SELECT * FROM public.batches_copy";
    let drop_limits = "CREATE TABLE public.limits AS
            SELECT pg_get_constraintdef(oid) AS says FROM pg_constraint WHERE conname = 'events_values_check';
        ALTER TABLE counterfoil.events DROP CONSTRAINT events_values_check";
    as_superuser(&system.database_url, drop_limits).await.unwrap();
    for (what, edit) in EDITS {
        let position = 2 + i64::try_from(dice.roll(head.unsigned_abs() - 3)).unwrap();
        let edit = edit.replace("{}", &position.to_string());
        let edited = past_triggers(system, &edit).await;
        special.done(what, edited > 0, || format!("there was nothing at position {position}"));
        let (code, output) = verify(system).await;
        let near = named_near(system, &output, position).await;
        special.judge(code == 1 && near, || format!("position {position}: {output}"));
        past_triggers(system, restore).await;
    }
    let put_limits_back = "DO $$ BEGIN
            EXECUTE 'ALTER TABLE counterfoil.events ADD CONSTRAINT events_values_check ' || (SELECT says FROM public.limits);
        END $$";
    as_superuser(&system.database_url, put_limits_back).await.unwrap();
    // While a row stood edited, the sweep took it for what the log says; it puts that right as well.
    let right = until(|| async { verify(system).await.0 == 0 }).await;
    let output = verify(system).await.1;
    special.judge(right, || format!("what is put back is not right again: {output}"));
    // An older backup: its end is missing, and Redis has seen it.
    let older = "DELETE FROM counterfoil.events WHERE position > (SELECT last_position FROM counterfoil.batches
            ORDER BY first_position DESC OFFSET 5 LIMIT 1);
        DELETE FROM counterfoil.batches WHERE first_position > (SELECT last_position FROM counterfoil.batches
            ORDER BY first_position DESC OFFSET 5 LIMIT 1)";
    let cut_off = past_triggers(system, older).await;
    special.done("an older backup", cut_off > 0, || "there was nothing to cut off".into());
    let (code, output) = verify(system).await;
    let end = self::head(system).await;
    let says = code == 1 && output.contains(&format!("ends at {end}"));
    special.judge(says, || format!("an older backup that ends at {end} is not noticed: {output}"));
    let deposit = proto::write::DepositRequest {
        request_id: uuid::Uuid::now_v7().to_string(),
        account_id: "account-1".into(),
        amount: Some(proto::types::Money {
            currency_code: "EUR".into(),
            minor_units: 1,
            display: String::new(),
        }),
        ..Default::default()
    };
    let stops = until(|| async {
        let answer = system.write_client(0).deposit(deposit.clone()).await;
        answer.is_err_and(|status| status.code() == tonic::Code::DataLoss)
    });
    let stops = stops.await;
    special.judge(stops, || "it goes on writing".into());
    // And somebody has gone on from the backup, as far as the log had been: only hashes tell the two apart.
    let done = append_other_events(system, head).await;
    special.done("the backup becomes another log", done.is_ok(), || format!("{done:?}"));
    let stopped = until(|| async {
        system.projectors.iter().all(|projector| projector.log_text().contains("another history"))
    });
    let stopped = stopped.await;
    special.judge(stopped, || "no projector says so".into());
}

/// As one who may do everything, and switches off what is there to stop him. How many rows that touched.
async fn past_triggers(system: &System, statement: &str) -> u64 {
    let statement = format!("SET session_replication_role = replica; {statement}");
    let answers = as_superuser(&system.database_url, &statement).await.unwrap();
    let rows = |answer: &SimpleQueryMessage| match answer {
        SimpleQueryMessage::CommandComplete(rows) => *rows,
        _ => 0,
    };
    answers.iter().map(rows).sum()
}

/// Whether the output names the batch or the row that a position is in.
async fn named_near(system: &System, output: &str, position: i64) -> bool {
    let question = format!(
        "SELECT first_position, last_position FROM public.batches_copy
         WHERE first_position <= {position} AND last_position >= {position}"
    );
    let rows = as_superuser(&system.database_url, &question).await.unwrap_or_default();
    let mut names = vec![position.to_string()];
    for message in &rows {
        if let SimpleQueryMessage::Row(row) = message {
            names.extend([row.get(0), row.get(1)].into_iter().flatten().map(str::to_owned));
        }
    }
    // Only places that are named, and not how much was looked at.
    let places = output.lines().filter(|line| line.contains("position") || line.contains("key "));
    let words: Vec<&str> =
        places.flat_map(|line| line.split(|c: char| !c.is_ascii_digit())).collect();
    names.iter().any(|name| words.contains(&name.as_str()))
}

async fn verify(system: &System) -> (i32, String) {
    counterfoil(&system.database_url, &system.redis.url(), &["verify"]).await
}

async fn head(system: &System) -> i64 {
    let question = "SELECT max(last_position) FROM counterfoil.batches";
    first_number(&as_superuser(&system.database_url, question).await.unwrap(), 0).unwrap()
}

fn first_number(answer: &[tokio_postgres::SimpleQueryMessage], column: usize) -> Option<i64> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(column)?.parse().ok(),
        _ => None,
    })
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < NOTICED_WITHIN {
        if holds().await {
            return true;
        }
        sleep(LOOK_INTERVAL).await;
    }
    false
}

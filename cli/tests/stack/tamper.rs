//! Whatever somebody with all rights does to the log, `counterfoil verify` finds it and names the place; what leaves the log right
//! in itself is found with an anchor.

use std::{fs, path::PathBuf, process::Command};

use dev_servers::tamper;
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::{
    history::History,
    support::{Answer, PROGRAM},
};

/// Runs a sub-command on a log.
fn counterfoil(url: &str, args: &[&str]) -> Answer {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("DATABASE_URL", url);
    Answer(command.output().unwrap())
}

/// What is wrong with a log, as pairs of shard and place with finding.
fn findings(url: &str, more: &[&str]) -> Vec<(Option<i64>, String)> {
    let args: Vec<&str> = ["verify", "--log-only", "--json"].iter().chain(more).copied().collect();
    let answer = counterfoil(url, &args);
    assert!([0, 1].contains(&answer.code()), "{}{}", answer.out(), answer.err());
    let found = answer.json();
    assert_eq!(found["agrees"].as_bool().unwrap(), answer.code() == 0);
    let finding = |one: &Value| {
        let words =
            format!("{}: {}", one["place"].as_str().unwrap(), one["what"].as_str().unwrap());
        (one["shard"].as_i64(), words)
    };
    found["findings"].as_array().unwrap().iter().map(finding).collect()
}

/// A log that can be broken, looked at, and put back as it was, again and again.
struct Workbench {
    log: History,
    /// What is found of the log before it is broken.
    put_aside: Vec<(Option<i64>, String)>,
    client: Client,
    _driver: tokio::task::JoinHandle<()>,
}

/// A batch: its shard, and its first and last position.
type Batch = (i16, i64, i64);

impl Workbench {
    async fn new() -> Self {
        let log = History::written().await;
        let (client, connection) = tokio_postgres::connect(&log.url, NoTls).await.unwrap();
        #[allow(clippy::disallowed_methods, reason = "ends with the client")]
        let driver = tokio::spawn(async move { _ = connection.await });
        // Whoever can change rows can also put aside what would refuse some of the changes.
        tamper(
            &log.url,
            "CREATE TABLE kept_events AS TABLE counterfoil.events;
             CREATE TABLE kept_batches AS TABLE counterfoil.batches;
             ALTER TABLE counterfoil.events DROP CONSTRAINT events_values_check;
             DROP INDEX counterfoil.events_account_version_key, counterfoil.events_request_id_key,
                        counterfoil.events_account_id_key",
        )
        .await;
        let put_aside = findings(&log.url, &[]);
        assert_eq!(put_aside.len(), 3, "all else is right before it is broken: {put_aside:?}");
        assert!(put_aside.iter().all(|(_, words)| words.contains("nothing keeps (shard, ")));
        Self { log, put_aside, client, _driver: driver }
    }

    /// Breaks the log, looks at it, and puts it back.
    async fn found(&self, damage: &str) -> Vec<(Option<i64>, String)> {
        tamper(&self.log.url, damage).await;
        let mut found = findings(&self.log.url, &[]);
        found.retain(|finding| !self.put_aside.contains(finding));
        let put_back = "TRUNCATE counterfoil.events, counterfoil.batches;
                        INSERT INTO counterfoil.events SELECT * FROM kept_events;
                        INSERT INTO counterfoil.batches SELECT * FROM kept_batches";
        tamper(&self.log.url, put_back).await;
        found
    }

    /// It is found, and something of what is said names a place in one of the batches.
    async fn must_find(&self, damage: &str, batches: &[Batch]) {
        let found = self.found(damage).await;
        let names = |(shard, words): &(Option<i64>, String)| {
            let place = words.split(':').next().unwrap();
            let numbers = place.split(|letter: char| !letter.is_ascii_digit());
            let numbers: Vec<i64> = numbers.filter_map(|word| word.parse().ok()).collect();
            batches.iter().any(|(in_shard, first, last)| {
                *shard == Some(i64::from(*in_shard))
                    && numbers.iter().any(|number| (*first..=*last).contains(number))
            })
        };
        assert!(found.iter().any(names), "{damage}: not found in {batches:?}: {found:?}");
    }

    async fn batches(&self) -> Vec<Batch> {
        let sql =
            "SELECT shard, first_position, last_position FROM counterfoil.batches ORDER BY 1, 2";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    /// Columns with their types and whether they may be NULL, as the catalogue has them: a new one is broken as well.
    async fn columns(&self, table: &str) -> Vec<(String, String, bool)> {
        let sql = "SELECT attname::text, format_type(atttypid, NULL), NOT attnotnull FROM pg_attribute
                   WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows = self.client.query(sql, &[&format!("counterfoil.{table}")]).await.unwrap();
        assert!(rows.len() >= 9, "{table}");
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }
}

/// Other values for a column of a type.
fn edits(column: &str, kind: &str) -> Vec<String> {
    match kind {
        "smallint" | "integer" | "bigint" => {
            vec![format!("coalesce({column}, 0) + 1"), format!("coalesce({column}, 0) - 1")]
        }
        "timestamp with time zone" => {
            vec![
                format!("coalesce({column}, now()) + interval '1 microsecond'"),
                "'infinity'".to_owned(),
            ]
        }
        "uuid" => vec!["gen_random_uuid()".to_owned()],
        "text" => vec![format!("coalesce({column}, '') || 'x'"), "'y'".to_owned()],
        "bytea" => vec![
            format!("coalesce({column}, '') || '\\x00'"),
            format!(
                "CASE WHEN length({column}) > 0 THEN set_bit({column}, 0, 1 - get_bit({column}, 0)) ELSE '\\x01' END"
            ),
        ],
        other => panic!("say how to edit a column of type {other}"),
    }
}

#[tokio::test]
async fn every_edit_of_every_column_of_a_row_is_found_and_its_place_is_named() {
    let bench = Workbench::new().await;
    let batches = bench.batches().await;
    let mut edited = 0;
    for (column, kind, nullable) in bench.columns("events").await {
        // A row that has a value there and one that has none, the first and the last of each.
        let mut rows = Vec::new();
        for wanted in ["IS NOT NULL", "IS NULL"] {
            for order in ["ASC", "DESC"] {
                let sql = format!(
                    "SELECT shard, position FROM counterfoil.events WHERE {column} {wanted}
                     ORDER BY shard {order}, position {order} LIMIT 1"
                );
                rows.extend(bench.client.query(&sql, &[]).await.unwrap());
            }
        }
        for row in rows {
            let (shard, position): (i16, i64) = (row.get(0), row.get(1));
            let batch = batches.iter().find(|(in_shard, first, last)| {
                *in_shard == shard && (*first..=*last).contains(&position)
            });
            let mut values = edits(&column, &kind);
            if nullable {
                values.push("NULL".to_owned());
            }
            for value in values {
                let place = format!("shard = {shard} AND position = {position}");
                let same = format!(
                    "SELECT {column} IS NOT DISTINCT FROM ({value}) FROM counterfoil.events WHERE {place}"
                );
                if bench.client.query_one(&same, &[]).await.unwrap().get(0) {
                    continue;
                }
                // Two rows cannot stand at one place: what stood there goes.
                let room = match column.as_str() {
                    "position" => format!(
                        "DELETE FROM counterfoil.events WHERE shard = {shard} AND position =
                        (SELECT {value} FROM counterfoil.events WHERE {place});"
                    ),
                    "shard" => format!(
                        "DELETE FROM counterfoil.events WHERE position = {position} AND shard =
                        (SELECT {value} FROM counterfoil.events WHERE {place});"
                    ),
                    _ => String::new(),
                };
                let edit = format!(
                    "{room} UPDATE counterfoil.events SET {column} = {value} WHERE {place}"
                );
                bench.must_find(&edit, &[*batch.unwrap()]).await;
                edited += 1;
            }
        }
    }
    assert!(edited > 100, "{edited}");
}

#[tokio::test]
async fn every_edit_of_every_column_of_a_batch_is_found_and_its_place_is_named() {
    let bench = Workbench::new().await;
    let batches = bench.batches().await;
    for (column, kind, _) in bench.columns("batches").await {
        for at in [0, 1, batches.len() / 2, batches.len() - 1] {
            let batch = batches[at];
            let (shard, first, _) = batch;
            for value in edits(&column, &kind) {
                let place = format!("shard = {shard} AND first_position = {first}");
                let room = match column.as_str() {
                    "first_position" => format!(
                        "DELETE FROM counterfoil.batches WHERE shard = {shard} AND first_position =
                        (SELECT {value} FROM counterfoil.batches WHERE {place});"
                    ),
                    "shard" => format!(
                        "DELETE FROM counterfoil.batches WHERE first_position = {first} AND shard =
                        (SELECT {value} FROM counterfoil.batches WHERE {place});"
                    ),
                    _ => String::new(),
                };
                let edit = format!(
                    "{room} UPDATE counterfoil.batches SET {column} = {value} WHERE {place}"
                );
                // Of batches that change places, what is wrong may begin with the one before.
                let near = (at.saturating_sub(1)..=at + 1).filter_map(|at| batches.get(at));
                let near = near.filter(|near| near.0 == shard && column == "first_position");
                let touched: Vec<Batch> = near.copied().chain([batch]).collect();
                bench.must_find(&edit, &touched).await;
            }
        }
    }
}

#[tokio::test]
async fn numbers_that_no_log_can_have_are_found_and_end_the_search_nowhere() {
    let bench = Workbench::new().await;
    let batches = bench.batches().await;
    for batch in [batches[0], batches[2], batches[batches.len() - 1]] {
        let (shard, first, _) = batch;
        let place = format!("shard = {shard} AND first_position = {first}");
        for column in ["first_position", "last_position"] {
            for value in [i64::MIN, -1, 0, 1 << 40, (1 << 62) + 1, i64::MAX] {
                let edit =
                    format!("UPDATE counterfoil.batches SET {column} = {value} WHERE {place}");
                bench.must_find(&edit, &[batch]).await;
            }
        }
        for hash in ["digest", "hash"] {
            let edit = format!("UPDATE counterfoil.batches SET {hash} = '' WHERE {place}");
            bench.must_find(&edit, &[batch]).await;
        }
    }
}

#[tokio::test]
async fn every_row_and_batch_that_is_deleted_is_found() {
    let bench = Workbench::new().await;
    let batches = bench.batches().await;
    for batch in &batches {
        let (shard, first, last) = *batch;
        for position in first..=last {
            let delete = format!(
                "DELETE FROM counterfoil.events WHERE shard = {shard} AND position = {position}"
            );
            bench.must_find(&delete, &[*batch]).await;
        }
        let of_batch = format!("shard = {shard} AND first_position = {first}");
        let row = format!("DELETE FROM counterfoil.batches WHERE {of_batch}");
        bench.must_find(&row, &[*batch]).await;
        let is_last = !batches.iter().any(|(other, begin, _)| *other == shard && *begin > last);
        let rows = format!(
            "DELETE FROM counterfoil.events WHERE shard = {shard} AND position BETWEEN {first} AND {last}"
        );
        bench.must_find(&rows, &[*batch]).await;
        let whole = bench.found(&format!("{row}; {rows}")).await;
        // The end of a log can be cut off so that nothing is left to see: that takes an anchor, or what Redis has seen.
        assert_eq!(whole.is_empty(), is_last, "{batch:?}: {whole:?}");
    }
}

#[tokio::test]
async fn rows_and_batches_that_change_places_or_are_added_are_found() {
    let bench = Workbench::new().await;
    let batches = bench.batches().await;
    let in_order = |shard: i16| batches.iter().filter(move |batch| batch.0 == shard).copied();
    let last: Vec<i64> = [0, 1].map(|shard| in_order(shard).last().unwrap().2).into();
    for (shard, last) in [(0_i16, last[0]), (1, last[1])] {
        for (one, other) in (1..last).map(|at| (at, at + 1)).chain([(1, last)]) {
            let swap = format!(
                "UPDATE counterfoil.events SET position = -1 WHERE shard = {shard} AND position = {one};
                 UPDATE counterfoil.events SET position = {one} WHERE shard = {shard} AND position = {other};
                 UPDATE counterfoil.events SET position = {other} WHERE shard = {shard} AND position = -1"
            );
            let touched: Vec<Batch> = in_order(shard)
                .filter(|(_, first, last)| {
                    [one, other].iter().any(|at| (first..=last).contains(&at))
                })
                .collect();
            bench.must_find(&swap, &touched).await;
        }
    }
    // Two batches of one row each, with everything that is theirs.
    let ones: Vec<Batch> = in_order(1).filter(|(_, first, last)| first == last).collect();
    for pair in ones.windows(2) {
        let ((shard, one, _), (_, other, _)) = (pair[0], pair[1]);
        let swap = |table: &str, column: &str| {
            format!(
                "UPDATE counterfoil.{table} SET {column} = -1 WHERE shard = {shard} AND {column} = {one};
                 UPDATE counterfoil.{table} SET {column} = {one} WHERE shard = {shard} AND {column} = {other};
                 UPDATE counterfoil.{table} SET {column} = {other} WHERE shard = {shard} AND {column} = -1;"
            )
        };
        let places =
            "UPDATE counterfoil.batches SET last_position = first_position WHERE shard = 1 AND
                      first_position IN (";
        let whole = format!(
            "{}{}{places}{one}, {other})",
            swap("events", "position"),
            swap("batches", "first_position")
        );
        bench.must_find(&whole, pair).await;
    }
    // What was never there: behind the head, before the beginning, in the middle of a batch, in a shard that there is not.
    let copy = |table: &str, columns: &str, values: &str| {
        format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM counterfoil.{table} WHERE shard = 0 ORDER BY 1 LIMIT 1;
             UPDATE copy SET ({columns}) = ROW({values}); INSERT INTO counterfoil.{table} SELECT * FROM copy; DROP TABLE copy"
        )
    };
    for (position, found_at) in [(last[0] + 1, last[0] + 1), (last[0] + 100, last[0] + 100), (0, 0)]
    {
        let added = copy("events", "position", &position.to_string());
        bench.must_find(&added, &[(0, found_at, found_at)]).await;
    }
    let large = in_order(0).find(|(_, first, last)| last > first).unwrap();
    let overlapping =
        copy("batches", "first_position, last_position", &format!("{}, {}", large.2, large.2));
    bench.must_find(&overlapping, &[large]).await;
    for table in ["events", "batches"] {
        let elsewhere = bench.found(&copy(table, "shard", "7::smallint")).await;
        assert!(
            elsewhere.iter().any(|(_, words)| words.contains("in shard 7")),
            "{table}: {elsewhere:?}"
        );
    }
}

#[tokio::test]
async fn a_trigger_that_was_switched_off_is_found() {
    let log = History::written().await;
    tamper(&log.url, "ALTER TABLE counterfoil.events DISABLE TRIGGER events_append_only").await;
    let found = findings(&log.url, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("table counterfoil.events: its trigger"), "{found:?}");
}

#[tokio::test]
async fn a_trigger_that_was_narrowed_is_found() {
    let log = History::written().await;
    let narrowed = "CREATE OR REPLACE TRIGGER events_append_only
                        BEFORE UPDATE OF shard OR DELETE OR TRUNCATE ON counterfoil.events
                        FOR EACH STATEMENT EXECUTE FUNCTION counterfoil.refuse_change();
                    UPDATE counterfoil.events SET balance = balance WHERE false";
    tamper(&log.url, narrowed).await;
    let found = findings(&log.url, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("table counterfoil.events: its trigger"), "{found:?}");
}

#[tokio::test]
async fn a_lasting_setting_that_keeps_the_triggers_from_firing_is_found() {
    let log = History::written().await;
    let database = log.url.rsplit('/').next().unwrap().split('?').next().unwrap();
    for (whose, whom) in [
        (format!("ALTER ROLE counterfoil IN DATABASE {database}"), "login counterfoil"),
        (format!("ALTER DATABASE {database}"), "every login"),
    ] {
        tamper(&log.url, &format!("{whose} SET session_replication_role = replica")).await;
        let found = findings(&log.url, &[]);
        let words: Vec<&str> = found.iter().map(|(_, words)| words.as_str()).collect();
        assert!(words.iter().any(|words| words.contains(whom)), "{whose}: {words:?}");
        assert!(words.iter().all(|words| words.starts_with("session_replication_role: ")));
        tamper(&log.url, &format!("{whose} RESET session_replication_role")).await;
        assert_eq!(findings(&log.url, &[]), [], "{whose}");
    }
}

/// Another row at the place of the last one of shard 0, as a service would take it for how the account stands.
fn second_row(table: &str) -> String {
    format!(
        "CREATE TEMP TABLE copy AS SELECT * FROM counterfoil.events
             WHERE shard = 0 ORDER BY position DESC LIMIT 1;
         UPDATE copy SET version = version + 1, balance = balance + 1000000, request_id = NULL;
         INSERT INTO counterfoil.{table} SELECT * FROM copy; DROP TABLE copy;"
    )
}

/// Where the last row of shard 0 stands.
async fn last_row(log: &History) -> String {
    let (client, connection) = tokio_postgres::connect(&log.url, NoTls).await.unwrap();
    let sql = "SELECT max(position) FROM counterfoil.events WHERE shard = 0";
    let row = tokio::select! {
        row = client.query_one(sql, &[]) => row.unwrap(),
        ended = connection => panic!("{ended:?}"),
    };
    format!("row {}: 2 rows stand at this position", row.get::<_, i64>(0))
}

/// Both are found: the second row that `way` lets into `table`, and what let it in.
async fn must_find_second_row(way: &str, table: &str, misfit: &str) {
    let log = History::written().await;
    let row = last_row(&log).await;
    tamper(&log.url, &format!("{way}; {}", second_row(table))).await;
    let found = findings(&log.url, &[]);
    for words in [misfit, &row] {
        assert!(found.iter().any(|(_, found)| found.starts_with(words)), "{words}: {found:?}");
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn a_second_row_at_a_place_is_found_in_a_table_that_inherits() {
    let way = "CREATE TABLE counterfoil.evil () INHERITS (counterfoil.events)";
    let misfit = "table counterfoil.events: table counterfoil.evil inherits from it";
    must_find_second_row(way, "evil", misfit).await;
}

#[tokio::test]
async fn a_second_row_at_a_place_is_found_where_the_index_lets_it_stand() {
    let way = "ALTER TABLE counterfoil.events DROP CONSTRAINT events_pkey;
               CREATE INDEX events_pkey ON counterfoil.events (shard, position)";
    let misfit = "table counterfoil.events: nothing keeps (shard, position) unique";
    must_find_second_row(way, "events", misfit).await;
}

#[tokio::test]
async fn a_second_row_that_an_index_hides_is_found() {
    let log = History::written().await;
    let ready = |is: bool| {
        format!(
            "UPDATE pg_index SET indisready = {is} WHERE indexrelid = 'counterfoil.events_pkey'::regclass;"
        )
    };
    // Three statements in three transactions: only then is the row put in without the index.
    tamper(&log.url, &ready(false)).await;
    tamper(&log.url, &second_row("events")).await;
    tamper(&log.url, &ready(true)).await;
    let found = findings(&log.url, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Some(0));
    assert!(found[0].1.contains("1 more rows stand there than there are positions"), "{found:?}");
}

#[tokio::test]
async fn a_number_of_shards_that_was_edited_is_found() {
    let log = History::written().await;
    tamper(&log.url, "UPDATE counterfoil.incarnations SET shards = 5").await;
    let found = findings(&log.url, &[]);
    let says = |words: &str| found.iter().any(|(_, found)| found.contains(words));
    // Of bob, carol and alice only bob has the same shard among five.
    assert!(says("(account carol): 1 accounts of this shard"), "{found:?}");
    assert!(says("(account alice): 1 accounts of this shard"), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");

    tamper(&log.url, "UPDATE counterfoil.incarnations SET shards = 2").await;
    assert_eq!(findings(&log.url, &[]), []);
    let incarnated = counterfoil(&log.url, &["new-incarnation", "--yes"]);
    assert_eq!(incarnated.code(), 0, "{}", incarnated.err());
    assert_eq!(findings(&log.url, &[]), []);
    let edit = "UPDATE counterfoil.incarnations SET shards = 3 WHERE incarnation = 1";
    tamper(&log.url, edit).await;
    let found = findings(&log.url, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.starts_with("incarnation 1: it has 3 shards"), "{found:?}");
}

/// An auditor's folder, out of reach of whoever runs the log.
struct Safe {
    folder: TempDir,
}

impl Safe {
    fn new() -> Self {
        let safe = Self { folder: tempfile::tempdir().unwrap() };
        safe.new_key("key");
        safe
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key `name`, and its public key `name.pub`.
    fn new_key(&self, name: &str) {
        let made = counterfoil("", &["anchor", "--new-key", self.path(name).to_str().unwrap()]);
        assert_eq!(made.code(), 0, "{}", made.err());
        fs::write(self.path(&format!("{name}.pub")), made.out()).unwrap();
    }

    fn take_anchor(&self, log: &History, name: &str) {
        let made =
            counterfoil(&log.url, &["anchor", "--key-file", self.path("key").to_str().unwrap()]);
        assert_eq!(made.code(), 0, "{}", made.err());
        fs::write(self.path(name), made.out()).unwrap();
    }

    /// What `verify` says with an anchor and a public key.
    fn verify(&self, log: &History, anchor: &str, key: &str) -> Answer {
        let (anchor, key) = (self.path(anchor), self.path(key));
        let files = ["--anchor", anchor.to_str().unwrap(), "--public-key", key.to_str().unwrap()];
        let args: Vec<&str> = ["verify", "--log-only"].into_iter().chain(files).collect();
        counterfoil(&log.url, &args)
    }
}

/// Puts another history in place of the log's, with the times of before, and makes every hash anew.
async fn rewrite(log: &History, amount: i64) {
    tamper(
        &log.url,
        "CREATE TABLE times AS SELECT shard, first_position, recorded_at FROM counterfoil.batches;
         TRUNCATE counterfoil.events, counterfoil.batches",
    )
    .await;
    log.write(amount).await;
    let hashes = "
        UPDATE counterfoil.batches b SET recorded_at = t.recorded_at FROM times t
            WHERE t.shard = b.shard AND t.first_position = b.first_position;
        DO $$
        DECLARE
            v_batch record;
            v_shard smallint;
            v_hash  bytea;
        BEGIN
            FOR v_batch IN SELECT * FROM counterfoil.batches ORDER BY shard, first_position LOOP
                IF v_shard IS DISTINCT FROM v_batch.shard THEN
                    v_shard := v_batch.shard;
                    SELECT counterfoil.genesis(log_id, v_shard) INTO v_hash FROM counterfoil.incarnations WHERE incarnation = 1;
                END IF;
                v_hash := sha256(v_hash || v_batch.digest || int8send(v_batch.first_position)
                                 || int8send(v_batch.last_position) || timestamptz_send(v_batch.recorded_at));
                UPDATE counterfoil.batches SET hash = v_hash
                WHERE shard = v_batch.shard AND first_position = v_batch.first_position;
            END LOOP;
        END
        $$;
        DROP TABLE times";
    tamper(&log.url, hashes).await;
}

#[tokio::test]
async fn a_history_that_was_rewritten_with_all_its_hashes_is_found_with_an_anchor_and_not_without()
{
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let right = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(right.code(), 0, "{}{}", right.out(), right.err());
    assert!(right.out().contains("2 anchored heads"), "{}", right.out());
    rewrite(&log, 501).await;
    assert_eq!(findings(&log.url, &[]), [], "it is right in itself");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("shard 0, anchor: up to position"), "{}", found.out());
    assert!(found.out().contains("it was rewritten"), "{}", found.out());
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_with_an_anchor_and_not_without() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let cut = "DELETE FROM counterfoil.events e USING
                   (SELECT shard, max(first_position) AS first FROM counterfoil.batches WHERE shard = 1 GROUP BY shard) b
                   WHERE e.shard = b.shard AND e.position >= b.first;
               DELETE FROM counterfoil.batches WHERE shard = 1 AND
                   first_position = (SELECT max(first_position) FROM counterfoil.batches WHERE shard = 1)";
    tamper(&log.url, cut).await;
    assert_eq!(findings(&log.url, &[]), [], "what is left is right in itself");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("shard 1, anchor: the anchor has position"), "{}", found.out());
    assert!(found.out().contains("its end was cut off"), "{}", found.out());
}

#[tokio::test]
async fn an_anchor_holds_while_the_log_goes_on_and_across_an_incarnation_that_lost_nothing() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let incarnated = counterfoil(&log.url, &["new-incarnation", "--yes"]);
    assert_eq!(incarnated.code(), 0, "{}", incarnated.err());
    let held = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(held.code(), 0, "{}{}", held.out(), held.err());
    assert!(held.out().contains("declared to be another incarnation since"), "{}", held.out());
    safe.take_anchor(&log, "next");
    assert_eq!(safe.verify(&log, "next", "key.pub").code(), 0);
    // Somebody who takes the declaration back, or makes one up.
    tamper(&log.url, "DELETE FROM counterfoil.incarnations WHERE incarnation = 2").await;
    let found = safe.verify(&log, "next", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("says now that it never was"), "{}", found.out());
    tamper(&log.url, "UPDATE counterfoil.incarnations SET shards = 1").await;
    let found = safe.verify(&log, "anchor", "key.pub");
    assert!(found.out().contains("the log had 2 shards then"), "{}", found.out());
}

#[tokio::test]
async fn an_anchor_of_another_log_is_said_to_be_one() {
    let (log, other, safe) = (History::written().await, History::written().await, Safe::new());
    safe.take_anchor(&other, "anchor");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1);
    assert!(
        found.out().contains("another log, or one that was replaced as a whole"),
        "{}",
        found.out()
    );
}

#[tokio::test]
async fn an_anchor_that_was_edited_or_that_somebody_else_signed_is_refused() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    safe.new_key("other");
    let text = fs::read_to_string(safe.path("anchor")).unwrap();
    let hash = text.split("shard 0 ").nth(1).unwrap().split(' ').nth(1).unwrap();
    let forged = text.replace(hash, &"0".repeat(64));
    assert_ne!(forged, text);
    fs::write(safe.path("forged"), forged).unwrap();
    fs::write(safe.path("cut"), &text[..text.len() / 2]).unwrap();
    for (anchor, key, code, says) in [
        ("anchor", "key.pub", 0, ""),
        ("forged", "key.pub", 1, "it was edited or damaged"),
        ("anchor", "other.pub", 1, "signed with another key"),
        ("cut", "key.pub", 2, "not an anchor of format 1"),
        ("missing", "key.pub", 2, "missing"),
        ("anchor", "key", 2, "no Ed25519 public key"),
    ] {
        let answer = safe.verify(&log, anchor, key);
        assert_eq!(answer.code(), code, "{anchor} with {key}: {}{}", answer.out(), answer.err());
        assert!(answer.err().contains(says), "{anchor} with {key}: {}", answer.err());
    }
    let path = safe.path("anchor");
    let no_key =
        counterfoil(&log.url, &["verify", "--log-only", "--anchor", path.to_str().unwrap()]);
    assert_eq!(no_key.code(), 0, "{}", no_key.err());
    assert!(no_key.out().contains("give --public-key to be sure whose it is"), "{}", no_key.out());
    let again = counterfoil("", &["anchor", "--new-key", safe.path("key").to_str().unwrap()]);
    assert_eq!(again.code(), 2);
    assert!(again.err().contains("never written over"), "{}", again.err());
}

//! Whatever somebody with all rights does to rows and batches of the log, `counterfoil verify` finds it and names the place.

use std::process::Command;

use dev_servers::tamper;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use crate::{
    history::History,
    support::{Answer, PROGRAM},
};

/// Runs a sub-command on a log.
pub(crate) fn counterfoil(url: &str, args: &[&str]) -> Answer {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("DATABASE_URL", url);
    Answer(command.output().unwrap())
}

/// What is wrong with a log, as pairs of shard and place with finding.
pub(crate) fn findings(url: &str, more: &[&str]) -> Vec<(Option<i64>, String)> {
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
        assert_eq!(put_aside.len(), 4, "all else is right before it is broken: {put_aside:?}");
        let expected = ["nothing keeps (shard, ", "check constraint events_values_check is gone"];
        let is_expected = |words: &str| expected.iter().any(|expected| words.contains(expected));
        assert!(put_aside.iter().all(|(_, words)| is_expected(words)), "{put_aside:?}");
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

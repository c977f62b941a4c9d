//! What keeps the log's tables what they were made to be, and who notices when it is taken away.

use event_store::connect::{Purpose, connect};
use ledger::{Position, Shard};

use crate::support::{Log, deposit, opening};

/// A unique index of the log.
struct Key {
    table: &'static str,
    name: &'static str,
    columns: &'static str,
    predicate: Option<&'static str>,
    /// `PRIMARY KEY`, `UNIQUE`, or nothing for an index without a constraint.
    constraint: &'static str,
}

const fn key(
    table: &'static str,
    name: &'static str,
    columns: &'static str,
    predicate: Option<&'static str>,
    constraint: &'static str,
) -> Key {
    Key { table, name, columns, predicate, constraint }
}

const KEYS: [Key; 9] = [
    key("events", "events_pkey", "shard, position", None, "PRIMARY KEY"),
    key(
        "events",
        "events_account_version_key",
        "shard, account, version",
        Some("event_type <> 11"),
        "",
    ),
    key("events", "events_request_id_key", "shard, request_id", Some("request_id IS NOT NULL"), ""),
    key("events", "events_account_id_key", "shard, account_id", Some("event_type = 1"), ""),
    key("batches", "batches_pkey", "shard, first_position", None, "PRIMARY KEY"),
    key("incarnations", "incarnations_pkey", "incarnation", None, "PRIMARY KEY"),
    key("incarnations", "incarnations_log_id_key", "log_id", None, "UNIQUE"),
    key("event_types", "event_types_pkey", "event_type", None, "PRIMARY KEY"),
    key("migrations", "migrations_pkey", "name", None, "PRIMARY KEY"),
];

impl Key {
    fn index(&self, unique: &str, columns: &str, predicate: Option<&str>) -> String {
        let predicate =
            predicate.map_or_else(String::new, |predicate| format!(" WHERE {predicate}"));
        let Self { table, name, .. } = self;
        format!("CREATE {unique} INDEX {name} ON counterfoil.{table} ({columns}){predicate}")
    }

    fn constraint(&self, more: &str) -> String {
        let Self { table, name, columns, constraint, .. } = self;
        format!(
            "ALTER TABLE counterfoil.{table} ADD CONSTRAINT {name} {constraint} ({columns}) {more}"
        )
    }

    fn make(&self) -> String {
        match self.constraint {
            "" => self.index("UNIQUE", self.columns, self.predicate),
            _ => self.constraint(""),
        }
    }

    fn drop(&self) -> String {
        let Self { table, name, .. } = self;
        match self.constraint {
            "" => format!("DROP INDEX counterfoil.{name}"),
            _ => format!("ALTER TABLE counterfoil.{table} DROP CONSTRAINT {name}"),
        }
    }

    /// What can stand in its place, under its name, and keeps less.
    fn pretenders(&self) -> Vec<String> {
        let Self { table, name, columns, predicate, constraint } = self;
        let first = columns.split(',').next().unwrap();
        let narrower = match predicate {
            Some(predicate) => format!("{predicate} AND {first} IS NOT NULL"),
            None => format!("{first} IS NOT NULL"),
        };
        let mut pretenders = vec![
            "SELECT".to_owned(),
            self.index("", columns, *predicate),
            self.index("UNIQUE", columns, Some(&narrower)),
            self.index("UNIQUE", &format!("{columns}, ({first} IS NULL)"), *predicate),
            format!(
                "{}; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'counterfoil.{name}'::regclass",
                self.make()
            ),
        ];
        if !constraint.is_empty() {
            pretenders.push(self.constraint("DEFERRABLE"));
            let nullable = format!("ALTER TABLE counterfoil.{table} ALTER {first} DROP NOT NULL");
            let index = self.index("UNIQUE", columns, *predicate);
            pretenders.push(format!("{nullable}; {index}"));
        }
        pretenders
    }
}

async fn misfits(log: &Log) -> Vec<String> {
    let misfits = log.reader().await.misfits().await.unwrap();
    misfits.into_iter().map(|misfit| format!("{}: {}", misfit.table, misfit.what)).collect()
}

#[tokio::test]
async fn a_unique_index_that_is_gone_or_keeps_less_is_noticed() {
    let log = Log::create().await;
    assert_eq!(misfits(&log).await, [""; 0]);
    for key in KEYS {
        let Key { table, name, columns, constraint, .. } = key;
        for pretender in key.pretenders() {
            log.run(&format!("{}; {pretender}", key.drop())).await;
            let found = misfits(&log).await;
            assert_eq!(found.len(), 1, "{pretender}: {found:?}");
            let says = format!("{table}: nothing keeps ({columns}) unique");
            assert!(found[0].starts_with(&says), "{pretender}: {found:?}");
            if !constraint.is_empty() {
                let drop =
                    format!("ALTER TABLE counterfoil.{table} DROP CONSTRAINT IF EXISTS {name}");
                log.run(&drop).await;
                let first = columns.split(',').next().unwrap();
                log.run(&format!("ALTER TABLE counterfoil.{table} ALTER {first} SET NOT NULL"))
                    .await;
            }
            log.run(&format!("DROP INDEX IF EXISTS counterfoil.{name}; {}", key.make())).await;
            assert_eq!(misfits(&log).await, [""; 0], "after {pretender}");
        }
    }
    // One that keeps the same under another name is no misfit.
    log.run("ALTER INDEX counterfoil.events_request_id_key RENAME TO another").await;
    assert_eq!(misfits(&log).await, [""; 0]);
}

#[tokio::test]
async fn tables_that_are_not_as_they_were_made_are_noticed() {
    let log = Log::create().await;
    for table in ["events", "batches", "incarnations", "event_types", "migrations"] {
        let on = format!("counterfoil.{table}");
        for (damage, undo, says) in [
            (
                format!("CREATE TABLE counterfoil.evil () INHERITS ({on})"),
                "DROP TABLE counterfoil.evil".to_owned(),
                "table counterfoil.evil inherits from it",
            ),
            (
                format!(
                    "CREATE TABLE counterfoil.parent (); ALTER TABLE {on} INHERIT counterfoil.parent"
                ),
                format!(
                    "ALTER TABLE {on} NO INHERIT counterfoil.parent; DROP TABLE counterfoil.parent"
                ),
                "it inherits from counterfoil.parent",
            ),
            (
                format!("CREATE RULE quiet AS ON INSERT TO {on} DO INSTEAD NOTHING"),
                format!("DROP RULE quiet ON {on}"),
                "rule quiet does something else",
            ),
            (
                format!("ALTER TABLE {on} ENABLE ROW LEVEL SECURITY"),
                format!("ALTER TABLE {on} DISABLE ROW LEVEL SECURITY"),
                "row-level security is on",
            ),
            (
                format!("ALTER TABLE {on} SET UNLOGGED"),
                format!("ALTER TABLE {on} SET LOGGED"),
                "it is not an ordinary table",
            ),
        ] {
            log.run(&damage).await;
            let found = misfits(&log).await;
            assert_eq!(found.len(), 1, "{damage}: {found:?}");
            assert!(found[0].starts_with(&format!("{table}: {says}")), "{damage}: {found:?}");
            log.run(&undo).await;
            assert_eq!(misfits(&log).await, [""; 0], "{undo}");
        }
    }
}

/// Puts a second row at a position; the position follows.
const SECOND_ROW: &str = "INSERT INTO counterfoil.events (position, version, balance, account, shard, event_type, status)
    SELECT position, version + 1, balance, account, shard, event_type, status FROM counterfoil.events WHERE position =";

#[tokio::test]
async fn places_that_are_taken_twice_are_counted_up_to_the_end_that_is_asked_for() {
    let log = Log::create().await;
    let rows = [opening("alice", 1)].into_iter().chain((2..=5).map(|n| deposit(1, n, 1, n)));
    log.append(None, rows.collect()).await.unwrap();
    let reader = log.reader().await;
    let upto = |end| [(Shard::ZERO, Position::ZERO.plus(end))];
    assert_eq!(reader.crowds(&upto(5)).await.unwrap(), []);
    log.tamper(&format!(
        "ALTER TABLE counterfoil.events DROP CONSTRAINT events_pkey;
         DROP INDEX counterfoil.events_account_version_key; {SECOND_ROW} 5; {SECOND_ROW} 3"
    ))
    .await;
    assert_eq!(reader.crowds(&upto(2)).await.unwrap(), []);
    for (end, twice) in [(3, vec![(3, 2)]), (5, vec![(3, 2), (5, 2)])] {
        let crowds = reader.crowds(&upto(end)).await.unwrap();
        assert_eq!(crowds.len(), 1, "{crowds:?}");
        assert_eq!((crowds[0].first, crowds[0].last), (1, i64::try_from(end).unwrap()));
        assert_eq!(crowds[0].taken_twice, twice);
        assert_eq!(crowds[0].more, i64::try_from(twice.len()).unwrap());
    }
}

#[tokio::test]
async fn rows_are_counted_block_by_block_and_through_no_index() {
    let log = Log::create().await;
    let reader = connect(&log.url, "t", Purpose::Read).await.unwrap();
    let sql = include_str!("../../sql/count_rows.sql");
    let prepare = format!("PREPARE count (bigint, bigint, bigint[], bigint) AS {sql}");
    reader.client.batch_execute(&prepare).await.unwrap();
    let explain = "EXPLAIN EXECUTE count (0, 4096, '{100}', 65536)";
    let plan = reader.client.query(explain, &[]).await.unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    assert!(plan.contains("Tid Range Scan on events"), "{plan}");
}

#[tokio::test]
async fn a_table_larger_than_one_statement_counts_is_counted_once_and_whole() {
    let log = Log::create().await;
    let rows = 300_000;
    log.run(&format!(
        "ALTER TABLE counterfoil.events DROP CONSTRAINT events_pkey;
         DROP INDEX counterfoil.events_account_version_key;
         INSERT INTO counterfoil.events (position, version, balance, account, shard, event_type, status, reference)
             SELECT n, n, 0, 1, 0, 2, 1, repeat('x', 50) FROM generate_series(1, {rows}) n;
         CREATE INDEX events_pkey ON counterfoil.events (shard, position)"
    ))
    .await;
    let blocks = "SELECT pg_relation_size('counterfoil.events') / 8192";
    assert!(log.number(blocks).await > 4096, "one statement counts it all");
    let reader = log.reader().await;
    let end = [(Shard::ZERO, Position::ZERO.plus(rows))];
    assert_eq!(reader.crowds(&end).await.unwrap(), []);
    for position in [250_000, 7] {
        log.run(&format!("{SECOND_ROW} {position}")).await;
    }
    let crowds = reader.crowds(&end).await.unwrap();
    let twice: Vec<_> = crowds.iter().flat_map(|crowd| crowd.taken_twice.clone()).collect();
    assert_eq!(twice, [(7, 2), (250_000, 2)]);
    assert!(crowds.iter().all(|crowd| crowd.more == 1), "{crowds:?}");
}

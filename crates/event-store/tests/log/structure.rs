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
        if columns.contains("account_id") {
            let columns = format!("{columns} COLLATE \"POSIX\"");
            pretenders.push(self.index("UNIQUE", &columns, *predicate));
        }
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
            let mut found = misfits(&log).await;
            found.retain(|found| !found.contains("nothing keeps NULL out"));
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
}

#[tokio::test]
async fn a_unique_index_that_appends_would_not_know_by_its_name_is_noticed() {
    let log = Log::create().await;
    for key in KEYS {
        let Key { table, name, columns, .. } = key;
        log.run(&format!("ALTER INDEX counterfoil.{name} RENAME TO another")).await;
        let found = misfits(&log).await;
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        let says = format!("{table}: what keeps ({columns}) unique");
        assert!(found[0].starts_with(&says), "{name}: {found:?}");
        assert!(found[0].contains(&format!("is called another and not {name}")), "{found:?}");
        // Another one beside it that does the same is no harm.
        log.run(&format!("ALTER INDEX counterfoil.another RENAME TO {name}")).await;
    }
    let beside = "CREATE UNIQUE INDEX beside ON counterfoil.events (shard, request_id) WHERE request_id IS NOT NULL";
    log.run(beside).await;
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

/// Damages a log and mends it again, step by step: each damage, what undoes it, and the finding it must lead to.
async fn must_be_noticed(log: &Log, damages: &[(String, String, String)]) {
    assert_eq!(misfits(log).await, [""; 0]);
    for (damage, undo, says) in damages {
        log.tamper(damage).await;
        let found = misfits(log).await;
        assert_eq!(found.len(), 1, "{damage}: {found:?}");
        assert!(found[0].starts_with(says.as_str()), "{damage}: {found:?}");
        log.tamper(undo).await;
        assert_eq!(misfits(log).await, [""; 0], "{undo}");
    }
}

#[tokio::test]
async fn a_check_that_is_gone_or_says_something_else_is_noticed() {
    let log = Log::create().await;
    let values =
        "balance - coalesce(held, 0) >= -coalesce(overdraft_limit, 0) AND amount > 0 AND held > 0
                  AND overdraft_limit > 0 AND status BETWEEN 1 AND 3";
    for (table, name, says, looser) in [
        ("events", "events_values_check", values, "amount > 0"),
        (
            "incarnations",
            "incarnations_shards_check",
            "shards BETWEEN 1 AND 1024",
            "shards BETWEEN 0 AND 1024",
        ),
    ] {
        let on = format!("ALTER TABLE counterfoil.{table}");
        let (drop, add) =
            (format!("{on} DROP CONSTRAINT {name}"), format!("{on} ADD CONSTRAINT {name}"));
        let undo = format!("{on} DROP CONSTRAINT IF EXISTS {name}; {add} CHECK ({says})");
        let damages = [
            drop.clone(),
            format!("{drop}; {add} CHECK ({says}) NOT VALID"),
            format!("{drop}; {add} CHECK ({looser})"),
            format!("{drop}; {add} CHECK (({says}) OR true)"),
            format!("{drop}; {add} CHECK ({says}) NO INHERIT"),
        ];
        let says = format!("{table}: check constraint {name} is gone, not valid, or");
        must_be_noticed(&log, &damages.map(|damage| (damage, undo.clone(), says.clone()))).await;
        log.run(&format!("{on} RENAME CONSTRAINT {name} TO another")).await;
        assert_eq!(misfits(&log).await.len(), 1, "{name}");
        log.run(&format!("{on} RENAME CONSTRAINT another TO {name}")).await;
    }
}

#[tokio::test]
async fn what_the_catalogue_denies_is_noticed() {
    let log = Log::create().await;
    let set = |what: &str| {
        format!("UPDATE pg_class SET {what} WHERE oid = 'counterfoil.events'::regclass")
    };
    let damages = [
        (
            "relhasindex = false",
            "relhasindex = true",
            "events: pg_class says that it has no indexes",
        ),
        ("relchecks = 0", "relchecks = 1", "events: pg_class says that it has 0 check constraints"),
    ];
    let damages = damages.map(|(damage, undo, says)| (set(damage), set(undo), says.to_owned()));
    must_be_noticed(&log, &damages).await;
}

#[tokio::test]
async fn a_column_that_may_be_null_by_now_is_noticed() {
    let log = Log::create().await;
    // As the catalogue has them: a new one has to be known to verify as well.
    let catalogue = connect(&log.url, "t", Purpose::Read).await.unwrap();
    let sql = "SELECT c.relname::text, a.attname::text, EXISTS (
                   SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND a.attnum = ANY (i.indkey))
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE c.relnamespace = 'counterfoil'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND a.attnotnull";
    let columns = catalogue.client.query(sql, &[]).await.unwrap();
    assert!(columns.len() >= 25, "{}", columns.len());
    for row in columns {
        let (table, column, in_key): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let edit = |is: bool| {
            format!(
                "UPDATE pg_attribute SET attnotnull = {is}
                 WHERE attrelid = 'counterfoil.{table}'::regclass AND attname = '{column}'"
            )
        };
        let says = format!("{table}: nothing keeps NULL out of column {column}");
        if in_key {
            // The key keeps nothing either then, and says so.
            log.tamper(&edit(false)).await;
            assert!(misfits(&log).await.contains(&says), "{says}");
            log.tamper(&edit(true)).await;
        } else {
            let on = format!("ALTER TABLE counterfoil.{table} ALTER {column}");
            let damage = (format!("{on} DROP NOT NULL"), format!("{on} SET NOT NULL"), says);
            must_be_noticed(&log, &[damage]).await;
        }
    }
}

#[tokio::test]
async fn a_trigger_that_is_not_one_of_the_logs_is_noticed() {
    let log = Log::create().await;
    log.run("CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
        .await;
    for table in ["events", "batches", "incarnations", "event_types", "migrations"] {
        let on = format!("ON counterfoil.{table}");
        let damages = [
            ("mine", "BEFORE INSERT"),
            ("events_append_onlv", "AFTER INSERT OR UPDATE"),
            ("migrations_append_only", "BEFORE INSERT"),
        ]
        .map(|(name, when)| {
            (
                format!(
                    "CREATE TRIGGER {name} {when} {on} FOR EACH ROW EXECUTE FUNCTION public.mine()"
                ),
                format!("DROP TRIGGER {name} {on}"),
                format!("{table}: trigger {name} is not one of the migrations"),
            )
        });
        must_be_noticed(&log, &damages).await;
    }
}

#[tokio::test]
async fn rights_to_change_the_log_are_noticed_whoever_has_them() {
    let log = Log::create().await;
    for table in ["events", "batches", "incarnations", "event_types", "migrations"] {
        let on = format!("ON counterfoil.{table}");
        for right in ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER"] {
            let damages = [
                ("counterfoil_writer", "role counterfoil_writer was given"),
                ("counterfoil_projector", "role counterfoil_projector was given"),
                ("pg_monitor", "role pg_monitor was given"),
                ("PUBLIC", "everybody was given"),
            ]
            .map(|(whom, says)| {
                (
                    format!("GRANT {right} {on} TO {whom}"),
                    format!("REVOKE {right} {on} FROM {whom}"),
                    format!("{table}: {says} the right to {right}:"),
                )
            });
            must_be_noticed(&log, &damages).await;
        }
        let all = (
            format!("GRANT ALL {on} TO pg_monitor"),
            format!("REVOKE ALL {on} FROM pg_monitor"),
            format!(
                "{table}: role pg_monitor was given the right to DELETE, INSERT, TRIGGER, TRUNCATE, UPDATE:"
            ),
        );
        must_be_noticed(&log, &[all]).await;
    }
    // Of single columns, too. Reading is no change.
    let column = (
        "GRANT UPDATE (balance), SELECT (balance) ON counterfoil.events TO PUBLIC".to_owned(),
        "REVOKE UPDATE (balance) ON counterfoil.events FROM PUBLIC".to_owned(),
        "events: everybody was given the right to UPDATE:".to_owned(),
    );
    must_be_noticed(&log, &[column]).await;
}

#[tokio::test]
async fn kinds_of_events_that_were_edited_are_noticed() {
    let log = Log::create().await;
    let put_back = "TRUNCATE counterfoil.event_types; INSERT INTO counterfoil.event_types SELECT * FROM public.kept";
    log.run("CREATE TABLE public.kept AS TABLE counterfoil.event_types").await;
    for (damage, gone, added) in [
        (
            "UPDATE counterfoil.event_types SET name = 'MoneyFound' WHERE event_type = 3",
            Some(r#"{"name": "MoneyWithdrawn", "event_type": 3}"#),
            Some(r#"{"name": "MoneyFound", "event_type": 3}"#),
        ),
        (
            "DELETE FROM counterfoil.event_types WHERE event_type = 11",
            Some(r#"{"name": "CommandRejected", "event_type": 11}"#),
            None,
        ),
        (
            "INSERT INTO counterfoil.event_types VALUES (12, 'Miracle')",
            None,
            Some(r#"{"name": "Miracle", "event_type": 12}"#),
        ),
    ] {
        log.run(damage).await;
        let gone = gone.map(|row| format!("event_types: row {row} is gone"));
        let added = added.map(|row| format!("event_types: row {row} was put there"));
        let mut expected: Vec<_> = gone.into_iter().chain(added).collect();
        expected.sort();
        assert_eq!(misfits(&log).await, expected, "{damage}");
        log.run(put_back).await;
        assert_eq!(misfits(&log).await, [""; 0]);
    }
    log.run("ALTER TABLE counterfoil.event_types RENAME name TO title").await;
    assert!(!misfits(&log).await.is_empty());
    log.run("DROP TABLE counterfoil.event_types CASCADE").await;
    let found = misfits(&log).await;
    assert!(found.contains(&"event_types: it is not an ordinary table".to_owned()), "{found:?}");
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

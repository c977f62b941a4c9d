//! What guards the log, put out of the way by somebody with all rights: triggers, unique keys, the number of shards.

use dev_servers::tamper;
use tokio_postgres::NoTls;

use crate::{
    history::History,
    tamper::{counterfoil, findings},
};

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
async fn an_account_that_was_opened_twice_is_found() {
    let log = History::with_an_account_opened_twice().await;
    let found = findings(&log.url, &[]);
    let says = |words: &str| found.iter().any(|(_, found)| found.contains(words));
    assert!(says("(account bob): an account of this id was opened before"), "{found:?}");
    assert!(says("nothing keeps (shard, account_id) unique where (event_type = 1)"), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn what_the_rules_do_not_allow_is_found_although_it_was_appended_in_good_order() {
    let log = History::with_rules_broken().await;
    let found = findings(&log.url, &[]);
    for words in [
        "(account carol): MoneyWithdrawn is against the rules",
        "a transfer from account bob to itself",
        "a transfer between currencies: account bob has EUR, and account erin has USD",
        "a transfer between currencies: account erin has USD, and account bob has EUR",
        "it names account nobody, and its other side is of account carol",
        "no request id, and in no atomic batch: no command did this",
        "row 26: row 27 of shard 0 is not its other side",
        "row 27: row 26 of shard 0 is not its other side",
        "an account is opened as number 9, and is not the next",
    ] {
        assert!(found.iter().any(|(_, found)| found.contains(words)), "{words}: {found:?}");
    }
    assert_eq!(found.len(), 10, "{found:?}"); // both sides of the transfer to itself
    // What cannot be read takes nothing of it away.
    let edit = "UPDATE counterfoil.batches SET recorded_at = 'infinity'
                WHERE shard = 0 AND last_position = (SELECT max(position) FROM counterfoil.events WHERE shard = 0)";
    tamper(&log.url, edit).await;
    let found = findings(&log.url, &[]);
    let says = |words: &str| found.iter().any(|(_, found)| found.contains(words));
    assert!(says("its mark may be in what is broken"), "{found:?}");
    assert!(says("is against the rules"), "{found:?}");
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

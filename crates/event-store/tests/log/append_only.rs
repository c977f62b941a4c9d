//! The log refuses to be changed, whoever asks.

use event_store::connect::{Purpose, connect};
use ledger::Shard;

use crate::support::{Log, deposit, opening};

const TABLES: [(&str, &str); 3] =
    [("events", "balance"), ("batches", "accounts"), ("incarnations", "shards")];

#[tokio::test]
async fn not_even_a_superuser_changes_the_log_without_putting_its_triggers_out_of_the_way() {
    let log = Log::create().await;
    log.append(None, vec![opening("alice", 1), deposit(1, 2, 500, 1)]).await.unwrap();
    let superuser = connect(&log.url, "t", Purpose::Control).await.unwrap();
    for (table, column) in TABLES {
        for change in [
            format!("UPDATE counterfoil.{table} SET {column} = {column} + 1"),
            format!("UPDATE counterfoil.{table} SET {column} = {column} WHERE false"),
            format!("DELETE FROM counterfoil.{table}"),
            format!("DELETE FROM counterfoil.{table} WHERE false"),
            format!("TRUNCATE counterfoil.{table}"),
        ] {
            let refused = superuser.client.batch_execute(&change).await.unwrap_err();
            let refused = refused.as_db_error().unwrap();
            assert_eq!(refused.code().code(), "CF004", "{change}: {refused}");
            assert!(refused.message().contains("only ever appended to"), "{refused}");
        }
    }
    let reader = log.reader().await;
    let genesis = log.identity.genesis(Shard::ZERO);
    assert_eq!(reader.read_after(Shard::ZERO, &genesis, 10).await.unwrap()[0].events.len(), 2);
}

#[tokio::test]
async fn a_trigger_that_is_off_or_gone_is_noticed() {
    let log = Log::create().await;
    let reader = log.reader().await;
    assert!(reader.unguarded_tables().await.unwrap().is_empty());
    for (table, _) in TABLES {
        let trigger = format!("TRIGGER {table}_append_only");
        log.run(&format!("ALTER TABLE counterfoil.{table} DISABLE {trigger}")).await;
        assert_eq!(reader.unguarded_tables().await.unwrap(), [table]);
        log.run(&format!("ALTER TABLE counterfoil.{table} ENABLE {trigger}")).await;
        assert!(reader.unguarded_tables().await.unwrap().is_empty());
    }
    log.run("DROP TRIGGER batches_append_only ON counterfoil.batches").await;
    assert_eq!(reader.unguarded_tables().await.unwrap(), ["batches"]);
    for less in [
        "BEFORE UPDATE OR DELETE ON counterfoil.batches FOR EACH STATEMENT",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON counterfoil.batches FOR EACH STATEMENT WHEN (false)",
        "BEFORE UPDATE OF shard OR DELETE OR TRUNCATE ON counterfoil.batches FOR EACH STATEMENT",
    ] {
        log.run(&format!(
            "CREATE OR REPLACE TRIGGER batches_append_only {less} EXECUTE FUNCTION counterfoil.refuse_change()"
        ))
        .await;
        assert_eq!(reader.unguarded_tables().await.unwrap(), ["batches"], "{less}");
    }
    log.run(
        "CREATE OR REPLACE FUNCTION counterfoil.refuse_change() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RETURN NULL; END $$",
    )
    .await;
    assert_eq!(reader.unguarded_tables().await.unwrap(), ["batches", "events", "incarnations"]);
}

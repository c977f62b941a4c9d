//! One login for each service: what it needs works, and nothing else.

use std::time::{Duration, Instant};

use dev_servers::Postgres;
use event_store::{
    Appender, Bell, Control, Doorbell, Error, LogCopy, LogIdentity, LogReader, WriterReads,
    connect::{Connection, Purpose, connect},
    migrate,
};
use ledger::Shard;

use crate::support::{Log, opening};

/// A server with a login for each purpose, made as docs/OPERATIONS.md says.
struct Bank {
    server: Postgres,
}

impl Bank {
    async fn start() -> Self {
        let server = Postgres::start_private().await.unwrap();
        let bank = Self { server };
        for statement in [
            "CREATE ROLE bank_owner LOGIN CREATEROLE",
            "CREATE DATABASE bank OWNER bank_owner",
            "REVOKE CONNECT ON DATABASE bank FROM PUBLIC",
        ] {
            bank.superuser("postgres").await.client.batch_execute(statement).await.unwrap();
        }
        bank
    }

    async fn superuser(&self, database: &str) -> Connection {
        connect(&self.server.url_of(database), "t", Purpose::Control).await.unwrap()
    }

    fn url(&self, login: &str) -> String {
        self.server.url_of("bank").replacen("counterfoil@", &format!("{login}@"), 1)
    }

    /// A session of the login itself, without taking a role.
    async fn login(&self, login: &str) -> Connection {
        connect(&self.url(login), "t", Purpose::Control).await.unwrap()
    }

    /// Makes the log and the logins of the services.
    async fn migrate(&self) -> LogIdentity {
        let identity = migrate(&self.url("bank_owner"), None).await.unwrap();
        let logins = "CREATE ROLE bank_writer LOGIN IN ROLE counterfoil_writer;
                      CREATE ROLE bank_projector LOGIN IN ROLE counterfoil_projector;
                      GRANT CONNECT ON DATABASE bank TO bank_writer, bank_projector";
        self.superuser("bank").await.client.batch_execute(logins).await.unwrap();
        identity
    }
}

/// The SQLSTATE that a statement is refused with.
async fn refusal(connection: &Connection, statement: &str) -> String {
    match connection.client.batch_execute(statement).await {
        Ok(()) => "done".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// What no service may do.
const FORBIDDEN: &[&str] = &[
    "INSERT INTO counterfoil.batches SELECT * FROM counterfoil.batches",
    "INSERT INTO counterfoil.events SELECT * FROM counterfoil.events",
    "INSERT INTO counterfoil.incarnations SELECT * FROM counterfoil.incarnations",
    "UPDATE counterfoil.events SET balance = 1",
    "UPDATE counterfoil.batches SET accounts = 1",
    "UPDATE counterfoil.incarnations SET shards = 2",
    "UPDATE counterfoil.event_types SET name = 'x'",
    "UPDATE counterfoil.migrations SET name = 'x'",
    "DELETE FROM counterfoil.events",
    "DELETE FROM counterfoil.batches",
    "DELETE FROM counterfoil.incarnations",
    "DELETE FROM counterfoil.migrations",
    "TRUNCATE counterfoil.events",
    "TRUNCATE counterfoil.batches",
    "TRUNCATE counterfoil.incarnations",
    "SELECT * FROM counterfoil.events FOR UPDATE",
    "DO $$ BEGIN LOCK TABLE counterfoil.batches IN EXCLUSIVE MODE; END $$",
    "DROP TABLE counterfoil.events",
    "DROP SCHEMA counterfoil CASCADE",
    "DROP FUNCTION counterfoil.append",
    "ALTER TABLE counterfoil.events ADD mine integer",
    "ALTER TABLE counterfoil.events DISABLE TRIGGER events_append_only",
    "ALTER TABLE counterfoil.events OWNER TO CURRENT_USER",
    "DROP TRIGGER events_append_only ON counterfoil.events",
    "CREATE TABLE counterfoil.mine (x integer)",
    "CREATE FUNCTION counterfoil.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.mine (x integer)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('/etc/hostname')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "ALTER SYSTEM SET fsync = off",
    "SET session_replication_role = replica",
    "SET ROLE bank_owner",
    "SELECT counterfoil.genesis(gen_random_uuid(), 0::smallint)",
    "SELECT counterfoil.refuse_change()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'counterfoil'",
];

#[tokio::test]
async fn the_logins_of_services_can_do_their_work_and_nothing_else() {
    let bank = Bank::start().await;
    let identity = bank.migrate().await;
    let _superuser = bank.superuser("bank").await; // somebody to be terminated
    for (login, role, other) in [
        ("bank_writer", "counterfoil_writer", "counterfoil_projector"),
        ("bank_projector", "counterfoil_projector", "counterfoil_writer"),
    ] {
        let connection = bank.login(login).await;
        for taken in ["NONE", role] {
            connection.client.batch_execute(&format!("SET ROLE {taken}")).await.unwrap();
            let of_other = format!("SET ROLE {other}");
            for statement in FORBIDDEN.iter().copied().chain([of_other.as_str()]) {
                let refused = refusal(&connection, statement).await;
                assert_eq!(refused, INSUFFICIENT_PRIVILEGE, "{login} as {taken}: {statement}");
            }
            for table in ["events", "batches", "incarnations", "audit_log"] {
                let read = format!("SELECT * FROM counterfoil.{table}");
                assert_eq!(refusal(&connection, &read).await, "done", "{login} as {taken}: {read}");
            }
        }
    }
    let projector = bank.login("bank_projector").await;
    let refused = refusal(&projector, "SELECT counterfoil.take_turn(0::smallint)").await;
    assert_eq!(refused, INSUFFICIENT_PRIVILEGE);
    let may_append = "SELECT has_function_privilege('counterfoil.append'::regproc::oid, 'EXECUTE')";
    let row = projector.client.query_one(may_append, &[]).await.unwrap();
    assert!(!row.get::<_, bool>(0));

    // The writer's work.
    let writer = bank.url("bank_writer");
    assert_eq!(migrate(&writer, None).await.unwrap(), identity, "there is nothing to be done");
    let log = Log { url: writer.clone(), identity };
    log.append(None, vec![opening("alice", 1)]).await.unwrap();
    WriterReads::connect(&writer, "t").await.unwrap();
    let control = Control::connect(&writer, "t").await.unwrap();
    control.check_safety().await.unwrap();
    let _left_over = Appender::connect(&writer, "counterfoil-append/lost").await.unwrap();
    let patience = Duration::from_secs(5);
    control.end_connections("counterfoil-append/lost", patience).await.unwrap();
    control.end_stuck_appends(patience).await.unwrap();
    assert!(control.take_turn().await.unwrap());
    control.end_turn().await.unwrap();

    // The projector's.
    let projector = bank.url("bank_projector");
    let mut doorbell = Doorbell::connect(&projector, "t").await.unwrap();
    Bell::connect(&writer, "t").await.unwrap().ring().await.unwrap();
    let begun = Instant::now();
    doorbell.wait_at_most(patience).await.unwrap();
    assert!(begun.elapsed() < patience, "it rang");
    let reader = LogReader::connect(&projector, "t").await.unwrap();
    assert_eq!(reader.identity().await.unwrap(), identity);
    let mut copy = LogCopy::new(
        LogReader::connect_to_copy(&projector, "t").await.unwrap(),
        Shard::ZERO,
        identity.genesis(Shard::ZERO),
    );
    assert!(copy.next().await.unwrap().is_some());
    assert!(Appender::connect(&projector, "t").await.is_err());
}

#[tokio::test]
async fn a_login_of_another_ledger_on_the_server_does_not_come_in() {
    let bank = Bank::start().await;
    bank.migrate().await;
    let another = "CREATE ROLE another_writer LOGIN IN ROLE counterfoil_writer";
    bank.superuser("bank").await.client.batch_execute(another).await.unwrap();
    let refused = connect(&bank.url("another_writer"), "t", Purpose::Append).await.unwrap_err();
    assert!(format!("{refused:?}").contains("permission denied for database"), "{refused:?}");
}

#[tokio::test]
async fn the_owner_can_change_the_schema_and_not_the_log() {
    let bank = Bank::start().await;
    let identity = bank.migrate().await;
    let owner = bank.login("bank_owner").await;
    for table in ["events", "batches", "incarnations"] {
        for change in [
            format!(
                "UPDATE counterfoil.{table} SET shard{} = 1",
                if table == "incarnations" { "s" } else { "" }
            ),
            format!("DELETE FROM counterfoil.{table}"),
            format!("TRUNCATE counterfoil.{table}"),
        ] {
            assert_eq!(refusal(&owner, &change).await, "CF004", "{change}");
        }
    }
    for forbidden in ["SET session_replication_role = replica", "SELECT * FROM pg_authid"] {
        assert_eq!(refusal(&owner, forbidden).await, INSUFFICIENT_PRIVILEGE, "{forbidden}");
    }
    assert_eq!(migrate(&bank.url("bank_owner"), None).await.unwrap(), identity);
    let next = event_store::start_new_incarnation(&bank.url("bank_owner")).await.unwrap();
    assert_eq!(next.incarnation, 2);
}

#[tokio::test]
async fn a_login_that_may_not_migrate_says_who_has_to() {
    let bank = Bank::start().await;
    let superuser = bank.superuser("bank").await;
    let outsider = "CREATE ROLE outsider LOGIN; GRANT CONNECT ON DATABASE bank TO outsider";
    superuser.client.batch_execute(outsider).await.unwrap();
    let says = async |login: &str, what: &str| {
        let refused = migrate(&bank.url(login), None).await.unwrap_err();
        assert!(matches!(&refused, Error::Settings(why) if why.contains(what)), "{refused:?}");
    };
    says("outsider", "run `counterfoil migrate`").await;
    let identity = bank.migrate().await;
    says("outsider", "GRANT counterfoil_writer TO outsider").await;
    assert_eq!(migrate(&bank.url("bank_writer"), None).await.unwrap(), identity);
    // As it is while a newer version runs beside a schema that nobody has brought up to date.
    let older = "DELETE FROM counterfoil.migrations WHERE name = (SELECT max(name) FROM counterfoil.migrations)";
    superuser.client.batch_execute(older).await.unwrap();
    says("bank_writer", "run `counterfoil migrate`").await;
}

//! Making and changing the schema, and creating the log.

use ledger::ShardCount;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    Error,
    chain::LogIdentity,
    connect::{Purpose, answer_in_time, connect},
    decode::identity_of,
};

/// Replicas that start together take turns here. "CFMG"
const MIGRATION_LOCK: i64 = 1_128_680_775;

/// In order, never edited after a release: a change is a new file.
const MIGRATIONS: [(&str, &str); 3] = [
    ("0001_log", include_str!("../migrations/0001_log.sql")),
    ("0002_append", include_str!("../migrations/0002_append.sql")),
    ("0003_append_only", include_str!("../migrations/0003_append_only.sql")),
];

/// Not a migration, because roles belong to the server and not to the database: after a restore on another server the
/// schema is there and they are not.
const ROLES: &str = include_str!("../sql/roles.sql");
const ROLES_COMPLETE: &str = include_str!("../sql/roles_complete.sql");

/// Brings the schema up to date and creates the log if there is none.
///
/// Safe to run from several replicas at once, and again. `shards` counts only when the log is created; it is for life, so `None` means: whatever is there, or 1.
/// A login that may not change the schema can call it too: it is enough that there is nothing to be done.
///
/// # Errors
/// [`Error::Settings`] when the log has another number of shards than `shards`, when a migration was edited, when the
/// schema is of a later version, or when there is something to be done that this login may not do; [`Error::Unsafe`] when the
/// server is; otherwise when the database fails.
pub async fn migrate(database_url: &str, shards: Option<ShardCount>) -> Result<LogIdentity, Error> {
    let mut connection = connect(database_url, "counterfoil-migrate", Purpose::Migrate).await?;
    crate::safety::check(&connection).await?;
    let client = &mut connection.client;
    let standing = Standing::ask(client).await?;
    standing.may_read()?;
    // Usually there is nothing to do, and then nobody has to wait for anybody.
    if let Some(identity) = up_to_date(client).await? {
        return check_shards(identity, shards);
    }
    standing.may_change()?;
    // In a transaction of its own, so that the next statement sees what the replica before has done.
    let locked =
        client.execute("SELECT pg_advisory_lock($1)", &[/* $1 key */ &MIGRATION_LOCK]).await;
    locked.map_err(|cause| Error::of("wait for other migrations", cause))?;
    let identity = migrate_locked(client, shards).await;
    let _ = client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await; // or with the connection
    identity
}

async fn migrate_locked(
    client: &mut Client,
    shards: Option<ShardCount>,
) -> Result<LogIdentity, Error> {
    let transaction =
        client.transaction().await.map_err(|cause| Error::of("begin to migrate", cause))?;
    let run = async |sql: &str| {
        transaction.batch_execute(sql).await.map_err(|cause| Error::of("migrate", cause))
    };
    let exists = transaction
        .query_one("SELECT to_regclass('counterfoil.migrations') IS NOT NULL", &[])
        .await
        .map_err(|cause| Error::of("look for the schema", cause))?;
    if !exists.get::<_, bool>(0) {
        run("CREATE SCHEMA IF NOT EXISTS counterfoil;
             CREATE TABLE counterfoil.migrations (
                 name text PRIMARY KEY, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());")
        .await?;
    }
    let applied = transaction
        .query("SELECT name, checksum FROM counterfoil.migrations ORDER BY name", &[])
        .await
        .map_err(|cause| Error::of("read which migrations were applied", cause))?;
    if applied.len() > MIGRATIONS.len() {
        return Err(Error::Settings("the schema is of a later version of this program".into()));
    }
    for (index, (name, sql)) in MIGRATIONS.iter().enumerate() {
        let checksum = Sha256::digest(sql.as_bytes()).to_vec();
        match applied.get(index) {
            Some(row) if row.get::<_, &str>(0) == *name && row.get::<_, &[u8]>(1) == checksum => {}
            Some(row) => {
                let found: &str = row.get(0);
                return Err(Error::Settings(format!(
                    "migration {found} is not the one this program has as {name}"
                )));
            }
            None => {
                run(sql).await?;
                transaction
                    .execute(
                        "INSERT INTO counterfoil.migrations (name, checksum) VALUES ($1, $2)",
                        &[/* $1 name */ name, /* $2 checksum */ &checksum],
                    )
                    .await
                    .map_err(|cause| Error::of("note a migration", cause))?;
            }
        }
    }
    run(ROLES).await?;
    let asked = shards.unwrap_or(ShardCount::ONE);
    transaction
        .execute(
            "INSERT INTO counterfoil.incarnations (incarnation, log_id, shards)
             SELECT 1, $1, $2 WHERE NOT EXISTS (SELECT FROM counterfoil.incarnations)",
            &[/* $1 log_id */ &Uuid::now_v7(), /* $2 shards */ &asked.get()],
        )
        .await
        .map_err(|cause| Error::of("create the log", cause))?;
    let row = transaction
        .query_one(include_str!("../sql/identity.sql"), &[])
        .await
        .map_err(|cause| Error::of("read which log this is", cause))?;
    let identity = identity_of(&row)?;
    let identity = check_shards(identity, shards)?;
    // A COMMIT that the server turns into a ROLLBACK reports success here, but only after a failed statement, and every
    // failure above has returned.
    transaction.commit().await.map_err(|cause| Error::of("commit the migrations", cause))?;
    Ok(identity)
}

/// What is there, and what the login may do with it.
struct Standing {
    exists: bool,
    readable: bool,
    changeable: bool,
    login: String,
}

impl Standing {
    async fn ask(client: &Client) -> Result<Self, Error> {
        let question = client.query_one(include_str!("../sql/standing.sql"), &[]);
        let row = answer_in_time("look for the schema", question).await?;
        Ok(Self {
            exists: row.get(0),
            readable: row.get(1),
            changeable: row.get(2),
            login: row.get(3),
        })
    }

    fn may_read(&self) -> Result<(), Error> {
        if self.readable || !self.exists {
            return Ok(());
        }
        let login = &self.login;
        Err(Error::Settings(format!(
            "login {login} may not use the log; let its owner run: GRANT counterfoil_writer TO {login}"
        )))
    }

    fn may_change(&self) -> Result<(), Error> {
        if self.changeable {
            return Ok(());
        }
        let login = &self.login;
        let lacks = if self.exists {
            "the log's schema or its roles are not those of this version"
        } else {
            "there is no log"
        };
        Err(Error::Settings(format!(
            "{lacks}, and login {login} may not change that: run `counterfoil migrate` as the owner of the database"
        )))
    }
}

/// The log, if it is there with everything this program knows of.
async fn up_to_date(client: &Client) -> Result<Option<LogIdentity>, Error> {
    let exists = "SELECT to_regclass('counterfoil.migrations') IS NOT NULL";
    let exists = client.query_one(exists, &[]);
    if !answer_in_time("look for the migrations", exists).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    let applied = "SELECT name, checksum FROM counterfoil.migrations ORDER BY name";
    let applied = client.query(applied, &[]);
    let applied = answer_in_time("read which migrations were applied", applied).await?;
    let same = applied.len() == MIGRATIONS.len()
        && applied.iter().zip(MIGRATIONS).all(|(row, (name, sql))| {
            row.get::<_, &str>(0) == name
                && row.get::<_, &[u8]>(1) == Sha256::digest(sql.as_bytes()).as_slice()
        });
    if !same {
        return Ok(None);
    }
    let roles = client.query_one(ROLES_COMPLETE, &[]);
    if !answer_in_time("look for the roles", roles).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    let identity = client.query_opt(include_str!("../sql/identity.sql"), &[]);
    let identity = answer_in_time("read which log this is", identity).await?;
    identity.as_ref().map(identity_of).transpose()
}

fn check_shards(identity: LogIdentity, asked: Option<ShardCount>) -> Result<LogIdentity, Error> {
    match asked {
        Some(asked) if asked != identity.shards => {
            let (asked, there) = (asked.get(), identity.shards.get());
            Err(Error::Settings(format!("the log has {there} shards for life, not {asked}")))
        }
        _ => Ok(identity),
    }
}

/// Declares that the log, restored from a backup, is another log from here on: a new name, so that tokens and read
/// models of the old one are told apart. Stop all services first.
///
/// # Errors
/// When the database fails.
pub async fn start_new_incarnation(database_url: &str) -> Result<LogIdentity, Error> {
    let mut connection =
        connect(database_url, "counterfoil-new-incarnation", Purpose::Migrate).await?;
    let of = |cause| Error::of("start a new incarnation", cause);
    let transaction = connection.client.transaction().await.map_err(of)?;
    // Waits for appends under way, which have read it, and holds back others: none is of one incarnation and answered as of another.
    let lock = "LOCK TABLE counterfoil.incarnations IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.map_err(of)?;
    let insert = "INSERT INTO counterfoil.incarnations (incarnation, log_id, shards)
         SELECT incarnation + 1, $1, shards FROM counterfoil.incarnations ORDER BY incarnation DESC LIMIT 1";
    transaction.execute(insert, &[/* $1 log_id */ &Uuid::now_v7()]).await.map_err(of)?;
    let row = transaction.query_one(include_str!("../sql/identity.sql"), &[]).await.map_err(of)?;
    transaction.commit().await.map_err(of)?;
    identity_of(&row)
}

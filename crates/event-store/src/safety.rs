//! Whether the server keeps what it acknowledges, and keeps it once.

use tokio_postgres::SimpleQueryMessage;

use crate::{
    Error,
    connect::{Connection, answer_in_time},
};

/// Refuses a server that could lose an acknowledged append, and a log that could hold one twice. `synchronous_commit` is
/// asked for elsewhere ([`check_commits`]): every appending connection sets its own.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let question = connection.client.query_one(include_str!("../sql/safety.sql"), &[]);
    let row = answer_in_time("ask for the server's settings", question).await?;
    let (fsync, full_page_writes, read_only): (bool, bool, bool) =
        (row.get(0), row.get(1), row.get(2));
    let (version, encoding, unlogged): (i32, &str, bool) = (row.get(3), row.get(4), row.get(5));
    let missing: Vec<&str> = row.get(6);
    let complaint = match (fsync, full_page_writes, read_only) {
        (_, _, true) => return Err(Error::Standby),
        (false, ..) => "fsync is off: a power cut would lose acknowledged commands. Set fsync = on",
        (_, false, _) => {
            "full_page_writes is off: a power cut could tear pages. Set full_page_writes = on"
        }
        _ if version < 150_000 => "the server is older than PostgreSQL 15",
        // One text that the database cannot write would refuse a whole batch.
        _ if encoding != "UTF8" => "the database's encoding is not UTF8: create it with UTF8",
        _ if unlogged => {
            "a table of the log is UNLOGGED: a crash would empty it. ALTER TABLE ... SET LOGGED"
        }
        _ if !missing.is_empty() => {
            return Err(Error::Unsafe(format!(
                "unique indexes of the log are missing or not valid ({}): a command could be applied twice. Restore them, and run \
                 `counterfoil verify`",
                missing.join(", ")
            )));
        }
        _ => return Ok(()),
    };
    Err(Error::Unsafe(complaint.into()))
}

/// Refuses a session whose commits do not wait for the disk.
///
/// An appending connection asks for that with its first message, so only something between us and the server, such as a pooler that
/// drops what it does not know, can have left it out.
///
/// # Errors
/// [`Error::Unsafe`]; otherwise when the database fails.
pub async fn check_commits(connection: &Connection) -> Result<(), Error> {
    // As one plain message: what is bound and executed on this connection is appends.
    let question = connection.client.simple_query("SELECT current_setting('synchronous_commit')");
    let answer = answer_in_time("ask whether commits are durable", question).await?;
    let setting = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    match setting.unwrap_or_default() {
        "on" | "remote_apply" => Ok(()),
        weaker => Err(Error::Unsafe(format!(
            "synchronous_commit is {weaker} in this session: a crash would lose acknowledged commands. Connect to Postgres \
             directly, not through a pooler"
        ))),
    }
}

//! Whether the server keeps what it acknowledges.

use tokio_postgres::SimpleQueryMessage;

use crate::{
    Error,
    connect::{Connection, answer_in_time},
};

/// Refuses a server that could lose an acknowledged append. `synchronous_commit` is asked for elsewhere
/// ([`check_commits`]): every appending connection sets its own.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let question = connection.client.query_one(
        "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
                pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                current_setting('server_version_num')::integer, current_setting('server_encoding'),
                EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('counterfoil')
                                               AND relkind = 'r' AND relpersistence <> 'p')",
        &[],
    );
    let row = answer_in_time("ask for the server's settings", question).await?;
    let (fsync, full_page_writes, read_only): (bool, bool, bool) =
        (row.get(0), row.get(1), row.get(2));
    let (version, encoding, unlogged): (i32, &str, bool) = (row.get(3), row.get(4), row.get(5));
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

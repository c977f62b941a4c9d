//! Whether the server keeps what it acknowledges.

use crate::{
    Error,
    connect::{Connection, answer_in_time},
};

/// Refuses a server that could lose an acknowledged append. `synchronous_commit` is not asked for: every appending
/// connection sets its own.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let question = connection.client.query_one(
        "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
                pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                current_setting('server_version_num')::integer, current_setting('server_encoding')",
        &[],
    );
    let row = answer_in_time("ask for the server's settings", question).await?;
    let (fsync, full_page_writes, read_only): (bool, bool, bool) =
        (row.get(0), row.get(1), row.get(2));
    let (version, encoding): (i32, &str) = (row.get(3), row.get(4));
    let complaint = match (fsync, full_page_writes, read_only) {
        (_, _, true) => return Err(Error::Standby),
        (false, ..) => "fsync is off: a power cut would lose acknowledged commands. Set fsync = on",
        (_, false, _) => {
            "full_page_writes is off: a power cut could tear pages. Set full_page_writes = on"
        }
        _ if version < 150_000 => "the server is older than PostgreSQL 15",
        // One text that the database cannot write would refuse a whole batch.
        _ if encoding != "UTF8" => "the database's encoding is not UTF8: create it with UTF8",
        _ => return Ok(()),
    };
    Err(Error::Unsafe(complaint.into()))
}

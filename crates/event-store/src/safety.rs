//! Whether the server keeps what it acknowledges.

use crate::{Error, connect::Connection};

/// Refuses a server that could lose an acknowledged append. `synchronous_commit` is not asked for: every appending
/// connection sets its own.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let row = connection
        .client
        .query_one(
            "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', pg_is_in_recovery(),
                    current_setting('server_version_num')::integer",
            &[],
        )
        .await
        .map_err(|cause| Error::of("ask for the server's settings", cause))?;
    let (fsync, full_page_writes, standby): (bool, bool, bool) =
        (row.get(0), row.get(1), row.get(2));
    let version: i32 = row.get(3);
    let complaint = match (fsync, full_page_writes, standby) {
        (false, ..) => "fsync is off: a power cut would lose acknowledged commands. Set fsync = on",
        (_, false, _) => {
            "full_page_writes is off: a power cut could tear pages. Set full_page_writes = on"
        }
        (_, _, true) => "the server is a standby: connect to the primary",
        _ if version < 150_000 => "the server is older than PostgreSQL 15",
        _ => return Ok(()),
    };
    Err(Error::Unsafe(complaint.into()))
}

//! Whether the log's tables still keep what the migrations made them keep, and whether what they should have kept is so.

use event_store::{Crowd, LogIdentity, LogReader};
use ledger::{Position, Shard};

use super::findings::Findings;
use crate::failure::Failure;

/// Looks at the tables as such. `ends` are the ends of the shards' chains, which have been verified.
pub(super) async fn verify(
    log: &LogReader,
    identity: &LogIdentity,
    ends: &[(Shard, Position)],
    findings: &mut Findings,
) -> Result<(), Failure> {
    for misfit in log.misfits().await.map_err(Failure::other)? {
        findings.add_overall(format!("table counterfoil.{}", misfit.table), misfit.what);
    }
    for table in log.unguarded_tables().await.map_err(Failure::other)? {
        let what = "its trigger against changes is off or gone, or lets some changes pass. If a migration is due, run `counterfoil \
                    migrate`; if not, somebody with the rights of its owner made way for changes: make the trigger as it was again";
        findings.add_overall(format!("table counterfoil.{table}"), what);
    }
    for whom in log.triggers_off_for().await.map_err(Failure::other)? {
        let what = format!(
            "it is set for good so that the triggers against changes do not fire for {whom}: somebody made way for changes"
        );
        findings.add_overall("session_replication_role", what);
    }
    for (incarnation, shards) in
        log.other_shard_counts(identity.shards).await.map_err(Failure::other)?
    {
        let what = format!(
            "it has {shards} shards, and the newest, {}, has {}: they are for life, so one of them was edited",
            identity.incarnation,
            identity.shards.get()
        );
        findings.add_overall(format!("incarnation {incarnation}"), what);
    }
    // Whatever the tables keep today, what stands there may have come in before.
    for crowd in log.crowds(ends).await.map_err(Failure::other)? {
        note_crowd(&crowd, findings);
    }
    Ok(())
}

fn note_crowd(crowd: &Crowd, findings: &mut Findings) {
    let mut unnamed = crowd.more;
    for (position, rows) in &crowd.taken_twice {
        let what = format!("{rows} rows stand at this position, and the log has only one of them");
        findings.add(crowd.shard, format!("row {position}"), what);
        unnamed -= rows - 1;
    }
    if unnamed > 0 {
        let place = format!("positions {} to {}", crowd.first, crowd.last);
        let what = format!(
            "{unnamed} more rows stand there than there are positions, and they are not found by position: an index that hides \
             rows, or masses of them"
        );
        findings.add(crowd.shard, place, what);
    }
}

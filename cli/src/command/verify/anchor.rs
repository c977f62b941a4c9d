//! The log against a head of it that was signed and kept elsewhere.
//!
//! The chains alone prove that the log agrees with itself; who rewrites it and makes every hash anew leaves it so. That the batch
//! at the anchored position has the anchored hash, and that the chains up to it are right, proves that everything up to there is
//! what it was when the anchor was made.

use event_store::{LogIdentity, LogReader};
use ledger::Shard;

use super::{checkpoints::Seen, findings::Findings};
use crate::{
    anchor::{Anchor, AnchoredHead},
    failure::Failure,
};

/// Compares every shard. The chains themselves are the caller's business.
pub(super) async fn verify(
    log: &LogReader,
    identity: &LogIdentity,
    anchor: &Anchor,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if anchor.first_log_id != identity.first_log_id {
        let (of, this) = (anchor.first_log_id, identity.first_log_id);
        let what = format!(
            "it is of the log that began as {of}, and this one began as {this}: another log, or one that was replaced as a whole"
        );
        findings.add_overall("anchor", what);
        return Ok(());
    }
    let incarnations = log.incarnations().await.map_err(Failure::other)?;
    if !incarnations.contains(&(anchor.incarnation, anchor.log_id)) {
        let what = format!(
            "the log was incarnation {}, {}, then, and says now that it never was",
            anchor.incarnation, anchor.log_id
        );
        findings.add_overall("anchor", what);
    }
    let (there, then) = (identity.shards.as_usize(), anchor.heads.len());
    if there != then {
        let what = format!("the log had {then} shards then, and says now that it has {there}");
        findings.add_overall("anchor", what);
    }
    for (shard, head) in identity.shards.shards().zip(&anchor.heads) {
        compare(log, identity, shard, head, findings).await?;
    }
    if identity.incarnation > anchor.incarnation {
        findings.note(format!(
            "the log was declared to be another incarnation since the anchor was made ({} then, {} now): what a restored backup \
             did not have is gone with its knowledge, and shows above as cut off or rewritten. Keep an anchor of the new \
             incarnation beside the old ones",
            anchor.incarnation, identity.incarnation
        ));
    }
    Ok(())
}

async fn compare(
    log: &LogReader,
    identity: &LogIdentity,
    shard: Shard,
    anchored: &AnchoredHead,
    findings: &mut Findings,
) -> Result<(), Failure> {
    findings.looked_at("anchored heads", 1);
    let position = anchored.position;
    let rewritten = || {
        format!(
            "up to position {position} the log is not what it was when the anchor was made: it was rewritten, and its hashes made anew"
        )
    };
    let what = match Seen::at(log, identity, shard, position).await? {
        Seen::Link(link) if link.hash == anchored.hash => return Ok(()),
        Seen::Link(_) | Seen::NoEnd => rewritten(),
        Seen::NothingBehind(head) => {
            format!(
                "the anchor has position {position}, but the log ends at {head}: its end was cut off"
            )
        }
        Seen::Broken(what) => what,
    };
    findings.add(shard, "anchor", what);
    Ok(())
}

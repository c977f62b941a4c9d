//! What stands outside of the log's shards and batches.

use event_store::{LogIdentity, LogReader};
use ledger::Shard;

use super::findings::Findings;
use crate::failure::Failure;

/// Looks where no walk along the chains comes by.
pub(super) async fn verify(
    log: &LogReader,
    identity: &LogIdentity,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for stray in log.strays(identity.shards).await.map_err(Failure::other)? {
        let place = format!("{} {}", stray.kind, stray.position);
        let shard = Shard::new(stray.shard).filter(|shard| shard.get() < identity.shards.get());
        match (shard, stray.kind.as_str()) {
            (Some(shard), "batch") => findings.add(shard, place, "it stands before the log begins"),
            (Some(shard), _) => findings.add(shard, place, "no batch holds it"),
            (None, _) => {
                let what =
                    format!("it says that it is in shard {}, which there is not", stray.shard);
                findings.add_overall(place, what);
            }
        }
    }
    Ok(())
}

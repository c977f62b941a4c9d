//! What Redis says it has of the log, against the log: the only proof that a log was not cut off at its end.

use event_store::{LogIdentity, LogReader};
use read_model::Reader;

use super::findings::Findings;
use crate::failure::Failure;

/// Compares every view's checkpoint with the batch at its position.
pub(super) async fn verify(
    log: &LogReader,
    identity: &LogIdentity,
    reader: &Reader,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for status in reader.status(identity.shards).await.map_err(Failure::other)? {
        let (shard, view) = (status.shard, status.view.name());
        let generations = [("visible", &status.visible), ("building", &status.building)];
        if status.visible.is_none() {
            findings.add(shard, format!("view {view}"), "it is not built");
        }
        for (name, generation) in generations {
            let Some(generation) = generation else { continue };
            let place = format!("view {view}, {name} generation {}", generation.generation.get());
            let Some(checkpoint) = &generation.checkpoint else {
                findings.add(shard, place, "its checkpoint is lost");
                continue;
            };
            findings.looked_at("checkpoints in Redis", 1);
            if checkpoint.log_id != identity.log_id {
                let what = format!("it is of log {}, not {}", checkpoint.log_id, identity.log_id);
                findings.add(shard, place, what);
                continue;
            }
            let position = checkpoint.position;
            let genesis = identity.genesis(shard);
            let link = match position == genesis.position {
                true => Some(genesis),
                false => log.link_at(shard, position).await.map_err(Failure::other)?,
            };
            let head = log.head(shard).await.map_err(Failure::other)?;
            let head = head.map_or(genesis.position, |head| head.link.position);
            match link {
                Some(link) if link.hash == checkpoint.hash => {}
                Some(_) => findings.add(
                    shard,
                    place,
                    format!("up to position {position} it has seen another log than this one"),
                ),
                None if position > head => findings.add(
                    shard,
                    place,
                    format!("it includes position {position}, but the log ends at {head}: its end was cut off"),
                ),
                None => findings.add(shard, place, format!("no batch ends at its position {position}")),
            }
        }
    }
    Ok(())
}

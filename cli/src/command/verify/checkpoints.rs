//! What Redis says it has of the log, against the log: with an anchor, the only proof that a log was not cut off at its end.

use event_store::{ChainLink, Error, LogIdentity, LogReader};
use ledger::{Position, Shard};
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
            match Seen::at(log, identity, shard, position).await? {
                Seen::Link(link) if link.hash == checkpoint.hash => {}
                Seen::Link(_) => findings.add(
                    shard,
                    place,
                    format!("up to position {position} it has seen another log than this one"),
                ),
                Seen::NothingBehind(head) => findings.add(
                    shard,
                    place,
                    format!("it includes position {position}, but the log ends at {head}: its end was cut off"),
                ),
                Seen::NoEnd => {
                    findings.add(shard, place, format!("no batch ends at its position {position}"));
                }
                Seen::Broken(what) => findings.add(shard, place, what),
            }
        }
    }
    Ok(())
}

/// What the log has where somebody has seen a batch end.
pub(super) enum Seen {
    /// A batch that ends there.
    Link(ChainLink),
    /// The log ends before.
    NothingBehind(Position),
    /// No batch ends there.
    NoEnd,
    /// It cannot be read.
    Broken(String),
}

impl Seen {
    pub(super) async fn at(
        log: &LogReader,
        identity: &LogIdentity,
        shard: Shard,
        position: Position,
    ) -> Result<Self, Failure> {
        let genesis = identity.genesis(shard);
        if position == genesis.position {
            return Ok(Self::Link(genesis));
        }
        let found = async {
            let link = log.link_at(shard, position).await?;
            Ok((link, log.head(shard).await?))
        };
        match found.await {
            Ok((Some(link), _)) => Ok(Self::Link(link)),
            Ok((None, head)) => {
                let head = head.map_or(genesis.position, |head| head.link.position);
                Ok(if position > head { Self::NothingBehind(head) } else { Self::NoEnd })
            }
            Err(error @ Error::Corrupt { .. }) => Ok(Self::Broken(error.to_string())),
            Err(error) => Err(Failure::other(error)),
        }
    }
}

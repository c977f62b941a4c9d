//! Generations whose checkpoint contradicts the log, and who of the two is believed.
//!
//! Mostly Redis: a log that went back or has another history than was seen must not be projected as if nothing had
//! happened, so the projection stops. But a checkpoint may have been edited too. That is certain, or decided, if
//!
//! - another generation includes as much or more, and the log bears it out. Every hash of the log includes all before
//!   it, so up to there the log has the very history that Redis has seen;
//! - somebody asks for a rebuild of the view, and thereby says that the log is to be believed.
//!
//! Then the generation is given up: it loses its checkpoint, which vouches for nothing, answers nothing any more, and
//! is built anew. That reads and verifies all of the log, so that one that contradicts itself is noticed all the same.

use event_store::{LogIdentity, LogReader};
use ledger::{Position, Shard};
use read_model::{Checkpoint, Generation, View, ViewStatus};

use crate::{Shared, error::Stop, load::link_of};

/// A generation that claims what the log does not have.
struct Contradiction {
    view: View,
    generation: Generation,
    /// What it includes, by its own account.
    checkpoint: Checkpoint,
    /// The position at which the log has something else, or nothing.
    position: Position,
    rebuild_requested: bool,
    finding: Stop,
}

/// Gives up the generations that contradict the log where it is Redis that is wrong. Whether there were any.
pub(crate) async fn give_up_what_is_wrong(
    shared: &Shared,
    log: &LogReader,
    identity: &LogIdentity,
    shard: Shard,
    statuses: &[ViewStatus],
) -> Result<bool, Stop> {
    let mut borne_out: Option<Position> = None;
    let mut contradictions = Vec::new();
    for status in statuses {
        let building = status.building.map(|building| building.generation);
        let filling = status.filling.map(|filling| filling.farthest);
        for known in [status.visible, status.building, status.retired].into_iter().flatten() {
            let of_this_log = |checkpoint: &Checkpoint| checkpoint.log_id == identity.log_id;
            let Some(checkpoint) = known.checkpoint.filter(of_this_log) else { continue };
            let is_building = building == Some(known.generation);
            let claims = [Some(checkpoint), filling.filter(|_| is_building)];
            for claim in claims.into_iter().flatten() {
                match link_of(log, identity, shard, &claim).await {
                    // What is built may be of a history that nobody has seen before.
                    Ok(_) if is_building => {}
                    Ok(link) => borne_out = borne_out.max(Some(link.position)),
                    Err(finding @ Stop::Corrupt { .. }) => contradictions.push(Contradiction {
                        view: status.view,
                        generation: known.generation,
                        checkpoint,
                        position: claim.position,
                        rebuild_requested: status.rebuild_requested,
                        finding,
                    }),
                    Err(other) => return Err(other),
                }
            }
        }
    }
    let mut has_given_up = false;
    for contradiction in contradictions {
        let Contradiction { view, generation, checkpoint, position, rebuild_requested, finding } =
            contradiction;
        let is_disproved = borne_out.is_some_and(|borne_out| position <= borne_out);
        if (is_disproved || rebuild_requested)
            && shared.writer.give_up(view, shard, generation, &checkpoint).await?
        {
            has_given_up = true;
            tracing::error!(
                view.name = %view,
                shard = shard.get(),
                generation = generation.get(),
                finding = finding.to_string(),
                rebuild_requested,
                "a generation that contradicts the log is given up"
            );
        }
    }
    Ok(has_given_up)
}

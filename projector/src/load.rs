//! Reading everything anew: how the views stand in Redis, what has to be done about their generations, and
//! whether the log still is what the checkpoints say.

use event_store::{ChainLink, LogIdentity, LogReader};
use futures::future::try_join_all;
use ledger::{Position, Shard};
use read_model::{Checkpoint, Generation, GenerationStatus, View, ViewStatus};
use tokio::time::Instant;

use crate::{
    build::Build,
    contradiction::give_up_what_is_wrong,
    error::Stop,
    janitor::Errand,
    lifecycle::{self, Role},
    metrics::of_view,
    projection::Projection,
    shard::{Known, ShardProjector},
    track::{Group, Track, merge},
};

/// Reads how the shard stands, begins generations that are missing, has those dropped that have had their time.
pub(crate) async fn load(
    projector: &mut ShardProjector,
    identity: LogIdentity,
) -> Result<Known, Stop> {
    let (shared, shard) = (projector.shared.clone(), projector.shard);
    let log = shared.tail.reader().await?;
    let statuses = try_join_all(View::ALL.map(|view| shared.writer.status(view, shard))).await?;
    let give_up = || give_up_what_is_wrong(&shared, &log, &identity, shard, &statuses);
    // Before the wish is fulfilled, and with that forgotten.
    let is_asked_for = statuses.iter().any(|status| status.rebuild_requested);
    if is_asked_for && give_up().await? {
        return Err(Stop::Conflict); // what was read is no longer true
    }
    match load_from(projector, identity, &log, &statuses).await {
        Err(Stop::Corrupt { .. }) if give_up().await? => Err(Stop::Conflict),
        outcome => outcome,
    }
}

async fn load_from(
    projector: &mut ShardProjector,
    identity: LogIdentity,
    log: &LogReader,
    statuses: &[ViewStatus],
) -> Result<Known, Stop> {
    let loaded_at = Instant::now();
    let shared = projector.shared.clone();
    let mut groups = Vec::new();
    let mut builds: Vec<Build> = Vec::new();
    let head = log.head(projector.shard).await?.map_or(Position::ZERO, |head| head.link.position);
    let under_way = projector.builds.under_way();
    let mut is_postponed = false;
    for status in statuses {
        let of_view = projector.unusable.iter().filter(|(view, _)| *view == status.view);
        let unusable = of_view.map(|(_, generation)| *generation).collect();
        let grace = shared.config.retired_grace;
        let plan = lifecycle::plan(status, identity.log_id, &unusable, grace);
        if let Some(generation) = plan.drop {
            let (view, shard) = (status.view, status.shard);
            // If it is busy, the next look will say so again.
            _ = shared.errands.try_send(Errand::Drop { view, shard, generation });
        }
        let mut project = plan.project;
        if let Some(reason) = plan.begin
            && let Some(begun) = begin(projector, status, &identity, reason).await?
        {
            project.push((Role::Building, begun));
        }
        let is_visible = |(role, _): &&(Role, GenerationStatus)| *role == Role::Visible;
        let visible = project.iter().find(is_visible).and_then(|(_, known)| known.checkpoint);
        let ahead = visible.map_or(head, |checkpoint| checkpoint.position);
        for (role, known) in project {
            let Some(checkpoint) = known.checkpoint else { continue };
            if under_way.contains(&(status.view, known.generation)) {
                continue;
            }
            let filling = status.filling.filter(|_| role == Role::Building);
            let lacks = ahead.get().saturating_sub(checkpoint.position.get());
            let is_far = lacks > i64::from(shared.config.page_events_max);
            let is_built = filling.is_some() || (role == Role::Building && is_far);
            if is_built && projector.builds.not_before.is_some_and(|at| at > loaded_at) {
                is_postponed = true;
                continue;
            }
            let track = track(projector, status.view, (role, known.generation), checkpoint).await?;
            let link = link_of(log, &identity, status.shard, &track.checkpoint).await?;
            if !is_built {
                groups.push(Group { link, tracks: vec![track], at_head: false });
                continue;
            }
            if let Some(filling) = &filling {
                // Values of a log that has gone back would never be written again.
                link_of(log, &identity, status.shard, &filling.farthest).await?;
            }
            let new = || Build::new(shared.clone(), projector.shard, link);
            let place = builds.iter().position(|build| build.link() == link);
            let place = place.unwrap_or_else(|| {
                builds.push(new());
                builds.len() - 1
            });
            builds[place].add(track, filling);
        }
    }
    if builds.is_empty() && under_way.is_empty() && !is_postponed {
        projector.building_goes_on().await;
    }
    builds.into_iter().for_each(|build| projector.builds.begin(build));
    Ok(Known { identity, groups: merge(groups), loaded_at })
}

/// Begins a generation at the beginning of the log.
async fn begin(
    projector: &ShardProjector,
    status: &ViewStatus,
    identity: &LogIdentity,
    reason: &'static str,
) -> Result<Option<GenerationStatus>, Stop> {
    let shared = &projector.shared;
    let entries_max = match status.view {
        View::Transactions => shared.config.statement_entries_max,
        View::Accounts | View::Totals => 0,
    };
    let genesis = Checkpoint {
        log_id: identity.log_id,
        position: Position::ZERO,
        hash: identity.genesis(status.shard).hash,
        recorded_at: None,
        entries_max,
    };
    let Some(generation) = shared.writer.begin(status, &genesis).await? else {
        return Ok(None); // another projector was faster; the next look finds its generation
    };
    // What cannot be continued, and what a lost pointer named, nobody knows of any more.
    if status.building.is_some() || status.visible.is_none() {
        _ = shared.errands.try_send(Errand::Orphans);
    }
    shared.metrics.generations_begun.get_or_create(&of_view(status.view, status.shard)).inc();
    tracing::info!(
        view.name = %status.view,
        shard = status.shard.get(),
        generation = generation.get(),
        reason,
        "generation begun"
    );
    Ok(Some(GenerationStatus { generation, checkpoint: Some(genesis) }))
}

async fn track(
    projector: &ShardProjector,
    view: View,
    (role, generation): (Role, Generation),
    checkpoint: Checkpoint,
) -> Result<Track, Stop> {
    let (checkpoint, projection) = match view {
        View::Accounts | View::Transactions => {
            (checkpoint, Projection::at_checkpoint(view, &checkpoint, Default::default()))
        }
        // Folded on from what is stored, so both are read in one step.
        View::Totals => {
            let read = projector.shared.writer.totals(projector.shard, generation).await;
            let (checkpoint, totals) = read.map_err(|error| match error {
                source @ (read_model::Error::Inconsistent { .. }
                | read_model::Error::WrongType { .. }) => {
                    Stop::Unusable { view, generation, source }
                }
                other => other.into(),
            })?;
            (checkpoint, Projection::at_checkpoint(view, &checkpoint, totals))
        }
    };
    Ok(Track { view, generation, role, checkpoint, projection })
}

/// The place in the log that a checkpoint names, if the log still has it.
pub(crate) async fn link_of(
    log: &LogReader,
    identity: &LogIdentity,
    shard: Shard,
    checkpoint: &Checkpoint,
) -> Result<ChainLink, Stop> {
    let found = match checkpoint.position {
        Position::ZERO => Some(identity.genesis(shard)),
        position => log.link_at(shard, position).await?,
    };
    if let Some(link) = found
        && link.hash == checkpoint.hash
    {
        return Ok(link);
    }
    let position = checkpoint.position;
    if log.is_standby().await? {
        // A copy may lag behind the log that another projector reads.
        return Err(Stop::Log(event_store::Error::Standby));
    }
    let head = log.head(shard).await?.map_or(Position::ZERO, |head| head.link.position);
    let finding = if head < position {
        format!("the log has gone back: it ends at {head}, but the read model includes {position}")
    } else {
        "the log has another history than the read model".to_owned()
    };
    Err(Stop::Corrupt { shard, position, finding })
}

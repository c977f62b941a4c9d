//! Removing what no pointer names any more. Nobody waits for it, and nothing breaks if it never comes to it.

use std::sync::Arc;

use ledger::Shard;
use read_model::{Generation, View};
use tokio::sync::mpsc;

use crate::{Shared, metrics::of_kind};

/// Something to be cleared away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A generation that queries no longer need.
    Drop { view: View, shard: Shard, generation: Generation },
    /// Whatever generations nobody knows of.
    Orphans,
}

/// Clears away whatever it is told to.
pub(crate) async fn clear_away(shared: Arc<Shared>, mut errands: mpsc::Receiver<Errand>) {
    let mut last = None;
    while let Some(errand) = errands.recv().await {
        // A shard repeats itself until it sees that the generation is gone.
        if last == Some(errand) && errand != Errand::Orphans {
            continue;
        }
        match run(&shared, errand).await {
            Ok(()) => last = Some(errand),
            Err(error) => {
                shared.metrics.errors.get_or_create(&of_kind("janitor")).inc();
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "clearing away fails");
            }
        }
    }
}

async fn run(shared: &Shared, errand: Errand) -> Result<(), read_model::Error> {
    match errand {
        Errand::Drop { view, shard, generation } => {
            if shared.writer.drop_generation(view, shard, generation).await? {
                tracing::info!(
                    view.name = %view,
                    shard = shard.get(),
                    generation = generation.get(),
                    "generation dropped"
                );
            }
        }
        Errand::Orphans => {
            let Some(identity) = *shared.identity.borrow() else { return Ok(()) };
            let removed = shared.writer.drop_orphans(identity.shards).await?;
            if removed > 0 {
                tracing::info!(keys = removed, "orphaned keys removed");
            }
        }
    }
    Ok(())
}

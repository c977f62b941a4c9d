//! Comparing all of the read model with the log at once, for an operator. Changes nothing.

use std::sync::Arc;

use event_store::LogReader;
use ledger::{LogId, Position, Shard};
use read_model::{Reader, StoreConfig, View};

use crate::{
    error::Stop,
    inspect::{Findings, Target, verify_target},
};

/// What comparing one view of one shard with the log came to.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The last position that was included when the comparison began. `None`: there is nothing to compare,
    /// because the view is not built or is of another log.
    pub position: Option<Position>,
    /// What was compared, and what was wrong.
    pub findings: Findings,
}

/// Why the read model could not be compared with the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log cannot be read, or contradicts itself.
    #[error("compare the read model with the log")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A generation came or went meanwhile.
    #[error("the read model's generations changed meanwhile; try again")]
    Moved,
}

impl From<Stop> for VerifyError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Conflict => Self::Moved,
            stop => Self::Failed(Box::new(stop)),
        }
    }
}

/// Compares what queries see, view by view and shard by shard, with the log, and tells of each as it is done.
/// The log's hash chain is verified on the way. The log's id is returned.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(
    database_url: &str,
    store: &StoreConfig,
    mut done: impl FnMut(&Verified),
) -> Result<LogId, VerifyError> {
    let log = LogReader::connect(database_url, "counterfoil-verify").await.map_err(Stop::from)?;
    let log = Arc::new(log);
    let identity = log.identity().await.map_err(Stop::from)?;
    let reader = Reader::connect(store).await.map_err(Stop::from)?;
    for status in reader.status(identity.shards).await.map_err(Stop::from)? {
        let (view, shard) = (status.view, status.shard);
        let visible = status.visible.and_then(|visible| {
            let checkpoint = visible.checkpoint?;
            (checkpoint.log_id == identity.log_id)
                .then_some((visible.generation, checkpoint.position))
        });
        let mut verified = Verified { view, shard, position: None, findings: Findings::default() };
        if let Some((generation, position)) = visible {
            let target = Target::new(&reader, view, shard, generation);
            verified.position = Some(position);
            verified.findings = verify_target(&log, &identity, &target).await?;
        }
        done(&verified);
    }
    Ok(identity.log_id)
}

//! How far the views have come. Answered also while views are missing: that is when it is asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger::{ConsistencyToken, Position, Shard, Timestamp};
use read_model::{LogRecord, Marker, View, ViewStatus};

use super::answer::{READS_MAX, require_fresh};
use super::{Call, Queries};
use crate::error::QueryError;
use crate::horizon::Horizons;
use crate::store::{short_token, within};
use crate::survey::{lag_events, visible_marker};

/// One view on one shard.
#[derive(Debug)]
pub(crate) struct ViewProgress {
    pub(crate) status: ViewStatus,
    /// The last position of the current log that queries see.
    pub(crate) position: Position,
    pub(crate) lag_events: i64,
    /// How long ago it is known to have had all of the log.
    pub(crate) lag: Option<Duration>,
}

/// All views on all shards.
#[derive(Debug)]
pub(crate) struct ReadModelStatus {
    /// What all views include together; a view that shows nothing includes nothing.
    pub(crate) as_of: ConsistencyToken,
    pub(crate) as_of_time: Option<Timestamp>,
    pub(crate) staleness: Option<Duration>,
    pub(crate) views: Vec<ViewProgress>,
}

impl Queries {
    /// How far every view is on every shard.
    pub(crate) async fn read_model_status(
        &self,
        call: &Call<'_>,
    ) -> Result<ReadModelStatus, QueryError> {
        let mut as_of = String::new();
        for _ in 0..READS_MAX {
            let read = within(self.read_limit, self.reader.status(call.log.shards)).await;
            let views = read.map_err(|fault| self.explain(fault))?;
            let status = summarize(&call.log, views, &self.horizons);
            let positions = || status.as_of.positions.iter().map(|(s, p)| (*s, *p));
            let short = || short_token(call.log.log_id, positions());
            let unreached = call.consistency.unreached(positions());
            if unreached.is_empty() {
                require_fresh(&call.consistency, status.staleness, short)?;
                return Ok(status);
            }
            for view in View::ALL {
                self.wait(call, view, &unreached, short).await?;
            }
            as_of = short();
        }
        Err(QueryError::Lagging { as_of })
    }
}

fn summarize(log: &LogRecord, views: Vec<ViewStatus>, horizons: &Horizons) -> ReadModelStatus {
    let now = Instant::now();
    let mut positions: BTreeMap<Shard, Position> = BTreeMap::new();
    let mut times = Vec::new();
    let mut stalest = Some(Duration::ZERO);
    let views = views
        .into_iter()
        .map(|status| {
            // What an abandoned log left behind shows nothing of this one.
            let of_this_log = |marker: &Marker| marker.checkpoint.log_id == log.log_id;
            let marker = visible_marker(&status).filter(of_this_log);
            let position = marker.map_or(Position::ZERO, |marker| marker.checkpoint.position);
            let lag = marker.and_then(|marker| horizons.staleness(&marker, now));
            let place = positions.entry(status.shard).or_insert(position);
            *place = position.min(*place);
            times.extend(marker.and_then(|marker| marker.checkpoint.recorded_at));
            stalest = stalest.zip(lag).map(|(stalest, lag)| stalest.max(lag));
            ViewProgress { status, position, lag_events: lag_events(&status), lag }
        })
        .collect();
    ReadModelStatus {
        as_of: ConsistencyToken { log_id: log.log_id, positions },
        as_of_time: times.into_iter().min(),
        staleness: stalest,
        views,
    }
}

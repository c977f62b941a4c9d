//! When an answer may be given: it is of the log that counts, includes what the caller asked for, and nothing less than
//! this server has answered before.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Position, Shard};
use read_model::View;

use super::{Call, Queries};
use crate::consistency::Consistency;
use crate::error::{QueryError, StoreFault};
use crate::horizon::Passage;
use crate::store::{ReadPoint, Reading, within};
use crate::wait::Waited;

/// Reads per call, should other calls' answers overtake each of them or the read model go back while one waits.
pub(super) const READS_MAX: usize = 16;

/// An answer, and which prefix of the log it includes.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) point: Arc<ReadPoint>,
    /// How long ago the read model is known to have had all of the log.
    pub(crate) staleness: Option<Duration>,
    pub(crate) value: T,
}

impl<T> Answer<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        let Self { point, staleness, value } = self;
        Answer { point, staleness, value: change(value) }
    }
}

impl<T> Answer<Option<T>> {
    /// The answer if something was found; otherwise an error that names the prefix in which it was not.
    pub(super) fn found(
        self,
        missing: impl FnOnce(String) -> QueryError,
    ) -> Result<Answer<T>, QueryError> {
        match self.value {
            None => Err(missing(self.point.short_as_of())),
            Some(value) => Ok(Answer { point: self.point, staleness: self.staleness, value }),
        }
    }
}

impl Queries {
    /// Reads until the answer may be given, and waits for the caller's token if it must.
    ///
    /// What few calls do is boxed: every call's future would otherwise have room for it, and be moved with it.
    pub(super) async fn answer<T, F>(
        &self,
        call: &Call<'_>,
        view: View,
        read: impl Fn() -> F,
    ) -> Result<Answer<T>, QueryError>
    where
        F: Future<Output = Result<Reading<T>, StoreFault>>,
    {
        let mut as_of = String::new();
        for _ in 0..READS_MAX {
            let began = Instant::now();
            let Reading { point, value } = read().await.map_err(|fault| self.explain(fault))?;
            if point.log_id() != Some(call.log.log_id) {
                return Err(Box::pin(self.other_log(view, &point)).await);
            }
            let unreached = call.consistency.unreached(point.positions());
            if !unreached.is_empty() {
                Box::pin(self.wait(call, view, &unreached, || point.short_as_of())).await?;
                as_of = point.short_as_of();
                continue;
            }
            match self.horizons.pass(&point, began, Instant::now()) {
                Passage::Passed(staleness) => {
                    require_fresh(&call.consistency, staleness, || point.short_as_of())?;
                    return Ok(Answer { point, staleness, value });
                }
                Passage::Below => return Err(QueryError::Lagging { as_of: point.short_as_of() }),
                Passage::Overtaken => as_of = point.short_as_of(),
            }
        }
        Err(QueryError::Lagging { as_of })
    }

    /// Waits until the view is at every wanted position.
    pub(super) async fn wait(
        &self,
        call: &Call<'_>,
        view: View,
        wanted: &[(Shard, Position)],
        as_of: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        let look = |shard| self.position(view, shard);
        match self.waits.until_reached(call.party, view, wanted, call.wait_until, look).await? {
            Waited::Reached => Ok(()),
            Waited::TimedOut => Err(QueryError::Lagging { as_of: as_of() }),
        }
    }

    /// How far a view is on a shard. Calls that wait together share a round trip.
    pub(super) async fn position(&self, view: View, shard: Shard) -> Result<Position, QueryError> {
        let point = match view {
            View::Accounts => self.accounts.many(shard, Vec::new()).await.map(|r| r.point),
            View::Transactions => self.latest.many(shard, Vec::new()).await.map(|r| r.point),
            View::Totals => within(self.read_limit, self.reader.marker(view, shard))
                .await
                .map(|marker| Arc::new(ReadPoint::of(marker))),
        };
        let point = point.map_err(|fault| self.explain(fault))?;
        Ok(point.positions().map(|(_, position)| position).min().unwrap_or(Position::ZERO))
    }

    /// Why nothing is told of what was read of another log: it was abandoned, or it was looked for by its number of shards.
    async fn other_log(&self, view: View, point: &ReadPoint) -> QueryError {
        // Whatever the log is now, the next call will know.
        if let Err(fault) = self.log.refresh().await {
            return self.explain(fault);
        }
        let shard = point.markers().first().map(|marker| marker.shard);
        QueryError::Rebuilding(self.survey.progress(view, shard))
    }

    /// What a failed read means for the caller.
    pub(super) fn explain(&self, fault: StoreFault) -> QueryError {
        use read_model::Error;
        let StoreFault::Failed(error) = &fault else {
            return match fault {
                StoreFault::SeveralLogs => {
                    QueryError::Rebuilding(self.survey.progress(View::Accounts, None))
                }
                fault => QueryError::StoreUnavailable(fault),
            };
        };
        match &**error {
            Error::NotBuilt { view, shard } => {
                QueryError::Rebuilding(self.survey.progress(*view, Some(*shard)))
            }
            Error::Inconsistent { .. } | Error::WrongType { .. } => {
                QueryError::Inconsistent(error.clone())
            }
            Error::Unavailable { .. }
            | Error::Evicting { .. }
            | Error::Replica
            | Error::Unprotected(_)
            | Error::Url(_)
            | Error::KeyPrefix(_)
            | Error::Conflict { .. }
            | Error::OtherLog { .. } => QueryError::StoreUnavailable(fault),
        }
    }
}

/// Refuses an answer that is staler than the caller takes. What nobody knows the age of is too old.
pub(super) fn require_fresh(
    consistency: &Consistency,
    staleness: Option<Duration>,
    as_of: impl FnOnce() -> String,
) -> Result<(), QueryError> {
    match consistency {
        Consistency::StaleAtMost(max) if staleness.is_none_or(|staleness| staleness > *max) => {
            Err(QueryError::Stale { as_of: as_of(), staleness })
        }
        _ => Ok(()),
    }
}

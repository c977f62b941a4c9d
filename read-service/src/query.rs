//! The questions, in the domain's own words. How an answer is found is each question's own file; when it may be given is
//! said in [`answer`].

mod accounts;
mod answer;
mod permission;
mod status;
mod totals;
mod transactions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use access::Reach;
use futures::future::try_join_all;
use ledger::{Shard, ShardCount};
use read_model::{AccountView, LatestEntry, LogRecord, Reader, View};
use service_kit::shares::{NoShare, Party};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consistency::Consistency;
use crate::error::{QueryError, StoreFault};
use crate::horizon::Horizons;
use crate::places::{Place, Places};
use crate::store::{Batcher, CurrentLog, ReadPoint, Reading};
use crate::survey::Survey;
use crate::wait::Waits;

pub(crate) use answer::Answer;
pub(crate) use status::{ReadModelStatus, ViewProgress};
pub(crate) use totals::Totals;
pub(crate) use transactions::Entry;

/// What the questions are answered with.
pub(crate) struct Queries {
    pub(crate) reader: Reader,
    pub(crate) accounts: Batcher<AccountView>,
    pub(crate) latest: Batcher<LatestEntry>,
    pub(crate) log: Arc<CurrentLog>,
    pub(crate) horizons: Arc<Horizons>,
    pub(crate) survey: Arc<Survey>,
    pub(crate) waits: Waits,
    /// One place per call in work.
    pub(crate) places: Places,
    /// How long one read may take.
    pub(crate) read_limit: Duration,
    pub(crate) shutdown: CancellationToken,
}

/// Who asks.
pub(crate) struct Asker {
    /// Whose places it takes.
    pub(crate) party: Party,
    /// Which accounts it may be told of.
    pub(crate) reach: Reach,
    /// When it stops waiting.
    pub(crate) until: Option<Instant>,
}

/// One call that is in work.
pub(crate) struct Call<'a> {
    party: Party,
    reach: Reach,
    consistency: Consistency,
    /// Until when it may wait for its token.
    wait_until: Instant,
    /// The log it asks about.
    log: LogRecord,
    _place: Place<'a>,
}

impl Queries {
    /// Lets a call in, unless nothing it asks could be answered.
    ///
    /// # Errors
    /// The server is stopping or overloaded, Redis is away or may forget, there is no log yet, or the call's token cannot
    /// ever be reached.
    pub(crate) async fn begin(
        &self,
        consistency: Consistency,
        asker: Asker,
    ) -> Result<Call<'_>, QueryError> {
        if self.shutdown.is_cancelled() {
            return Err(QueryError::ShuttingDown);
        }
        let Asker { party, reach, until } = asker;
        let overloaded = |why| match why {
            NoShare::Full => QueryError::Overloaded("calls are in work already"),
            NoShare::KeptForOthers => {
                QueryError::Overloaded("calls of this caller are in work already")
            }
        };
        let place = self.places.take(party).map_err(overloaded)?;
        self.survey.require_keeping().await.map_err(QueryError::StoreUnavailable)?;
        let seen = match &consistency {
            // A token of a log that is not known yet may be of the newest.
            Consistency::AtLeast(token) => self.log.expect(token.log_id).await,
            _ => self.log.get().await,
        };
        let log = seen
            .map_err(|fault| self.explain(fault))?
            .ok_or_else(|| QueryError::Rebuilding(self.survey.progress(View::Accounts, None)))?;
        consistency.check_against(&log)?;
        let wait_until = self.waits.until(until);
        Ok(Call { party, reach, consistency, wait_until, log, _place: place })
    }

    /// Reads every shard at once.
    async fn read_shards<T, F>(
        &self,
        shards: ShardCount,
        read: impl Fn(Shard) -> F,
    ) -> Result<Reading<Vec<T>>, StoreFault>
    where
        F: Future<Output = Result<Reading<T>, StoreFault>>,
    {
        join_readings(try_join_all(shards.shards().map(read)).await?)
    }
}

/// What several reads found, and what they include together.
fn join_readings<T>(readings: Vec<Reading<T>>) -> Result<Reading<Vec<T>>, StoreFault> {
    let point = match readings.as_slice() {
        [alone] => alone.point.clone(),
        all => {
            let joined = ReadPoint::join(all.iter().map(|reading| &*reading.point));
            Arc::new(joined.ok_or(StoreFault::SeveralLogs)?)
        }
    };
    Ok(Reading { point, value: readings.into_iter().map(|reading| reading.value).collect() })
}

//! Reading from Redis: what comes back says which prefix of the log it includes, and calls that come together share a
//! round trip.

mod batcher;
mod current_log;
mod lookup;
mod point;
#[cfg(test)]
pub(crate) use point::tests as point_tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use read_model::Snapshot;

use crate::error::StoreFault;

pub(crate) use batcher::Batcher;
pub(crate) use current_log::CurrentLog;
pub(crate) use lookup::{AccountLookup, LatestLookup, Lookup};
pub(crate) use point::{ReadPoint, short_token};

/// What was read, and the prefix of the log that it includes.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    pub(crate) point: Arc<ReadPoint>,
    pub(crate) value: T,
}

impl<T> From<Snapshot<T>> for Reading<T> {
    fn from(snapshot: Snapshot<T>) -> Self {
        Self { point: Arc::new(ReadPoint::of(snapshot.marker)), value: snapshot.value }
    }
}

/// Runs a read, but not for longer than this.
pub(crate) async fn within<T>(
    limit: Duration,
    read: impl Future<Output = Result<T, read_model::Error>>,
) -> Result<T, StoreFault> {
    match tokio::time::timeout(limit, read).await {
        Ok(read) => read.map_err(|error| StoreFault::Failed(Arc::new(error))),
        Err(_elapsed) => Err(StoreFault::TimedOut(limit)),
    }
}

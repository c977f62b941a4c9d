//! What every read comes with.

use ledger::Shard;

use crate::{Checkpoint, Generation, HeadStamp, View};

/// A value, and the marker it was read with, in one atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<T> {
    /// Which prefix of the log the value includes.
    pub marker: Marker,
    /// The value.
    pub value: T,
}

impl<T> Snapshot<T> {
    /// The same marker with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Snapshot<U> {
        Snapshot { marker: self.marker, value: change(self.value) }
    }
}

/// Which generation answered, and which prefix of the log it includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The view that answered.
    pub view: View,
    /// Its shard.
    pub shard: Shard,
    /// The generation that was visible.
    pub generation: Generation,
    /// What that generation includes.
    pub checkpoint: Checkpoint,
    /// The end of the log as a projector last saw it. `None` until the first look.
    pub head: Option<HeadStamp>,
    /// Redis's clock in milliseconds, right after the read.
    pub redis_now_ms: i64,
}

impl Marker {
    /// When, by Redis's clock, the view is known to have had all of the log: the time of the stamped head, if
    /// it is of the same log and the view includes it. Under load the newest stamp is ahead of the view for
    /// some milliseconds; whoever keeps the latest time that was ever known, per view and shard and log, is
    /// right too.
    #[must_use]
    pub fn complete_at_ms(&self) -> Option<i64> {
        let head = self.head?;
        let includes =
            head.log_id == self.checkpoint.log_id && self.checkpoint.position >= head.position;
        (includes && head.seen_at_ms != HeadStamp::NOTHING_KNOWN_COMPLETE)
            .then_some(head.seen_at_ms)
    }
}

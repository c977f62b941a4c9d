//! What this server has answered, and when the read model is known to have had all of the log.
//!
//! Redis may go backwards: a copy is restored, a replica that is behind takes over, a generation is rolled back. What was
//! answered once is the floor of every later answer, per log, view and shard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger::{LogId, Position, Shard};
use read_model::{Marker, View};

use crate::store::ReadPoint;

/// Whether an answer may be given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Yes; this is how long ago the view is known to have had all of the log, if that is known.
    Passed(Option<Duration>),
    /// Another answer that includes more was given while this one was read: read again.
    Overtaken,
    /// The read model has gone backwards.
    Below,
}

/// What is known of every view and shard.
#[derive(Default)]
pub(crate) struct Horizons {
    horizons: Mutex<HashMap<Key, Horizon>>,
}

impl Horizons {
    /// Compares an answer, whose reading began at `began`, with what was answered before. If it passes, it counts as given.
    pub(crate) fn pass(&self, point: &ReadPoint, began: Instant, now: Instant) -> Passage {
        let mut horizons = self.lock();
        for marker in point.markers() {
            let horizon = horizons.entry(key(marker)).or_insert_with(|| Horizon::new(now));
            if marker.checkpoint.position < horizon.floor {
                let overtaken = horizon.raised_at >= began;
                return if overtaken { Passage::Overtaken } else { Passage::Below };
            }
        }
        // Several shards are as stale as the stalest. Of nothing read nothing is known.
        let mut stalest = point.markers().first().map(|_| Duration::ZERO);
        for marker in point.markers() {
            let horizon = horizons.entry(key(marker)).or_insert_with(|| Horizon::new(now));
            horizon.raise(marker, now);
            let staleness = horizon.staleness(marker, now);
            stalest = stalest.zip(staleness).map(|(stalest, other)| stalest.max(other));
        }
        Passage::Passed(stalest)
    }

    /// How long ago a view is known to have had all of the log, without an answer being given.
    pub(crate) fn staleness(&self, marker: &Marker, now: Instant) -> Option<Duration> {
        let mut horizons = self.lock();
        let horizon = horizons.entry(key(marker)).or_insert_with(|| Horizon::new(now));
        horizon.staleness(marker, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Horizon>> {
        // Nothing panics while holding it, and every horizon in it is whole at any moment.
        self.horizons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An abandoned log keeps its horizons to itself: which log counts is not decided here.
type Key = (LogId, View, Shard);

fn key(marker: &Marker) -> Key {
    (marker.checkpoint.log_id, marker.view, marker.shard)
}

/// What is known of one view on one shard.
struct Horizon {
    /// The highest position that was answered.
    floor: Position,
    raised_at: Instant,
    complete: Option<Complete>,
}

/// A moment at which everything up to `position` was all of the log.
#[derive(Clone, Copy)]
struct Complete {
    position: Position,
    /// On Redis's clock.
    at_ms: i64,
    /// When this process first saw it: a Redis clock that stands still or goes back makes nothing younger than that.
    first_seen: Instant,
}

impl Horizon {
    fn new(now: Instant) -> Self {
        Self { floor: Position::ZERO, raised_at: now, complete: None }
    }

    fn raise(&mut self, marker: &Marker, now: Instant) {
        if marker.checkpoint.position > self.floor {
            self.floor = marker.checkpoint.position;
            self.raised_at = now;
        }
    }

    /// Takes note of what the marker says, and tells how long ago what it includes was all of the log.
    ///
    /// Under load the newest stamp lies ahead of the view for some milliseconds. The last one that the view had reached
    /// still tells the truth about any answer that includes as much.
    fn staleness(&mut self, marker: &Marker, now: Instant) -> Option<Duration> {
        if self.complete.is_some_and(|complete| complete.at_ms > marker.redis_now_ms) {
            self.complete = None; // Redis's clock went back: nothing it said before can be compared
        }
        let told = marker.complete_at_ms();
        if let (Some(at_ms), Some(head)) = (told, &marker.head)
            && self.complete.is_none_or(|complete| complete.at_ms < at_ms)
        {
            self.complete = Some(Complete { position: head.position, at_ms, first_seen: now });
        }
        let complete = self.complete.filter(|c| c.position <= marker.checkpoint.position)?;
        let on_redis_clock =
            u64::try_from(marker.redis_now_ms - complete.at_ms).map(Duration::from_millis).ok()?;
        Some(on_redis_clock.max(now.saturating_duration_since(complete.first_seen)))
    }
}

#[cfg(test)]
mod tests {
    use read_model::HeadStamp;

    use super::*;
    use crate::store::point_tests::{LOG_ID, marker};

    const MS: Duration = Duration::from_millis(1);

    fn point(marker: Marker) -> ReadPoint {
        ReadPoint::of(marker)
    }

    fn stamped(position: i64, head: i64, seen_at_ms: i64, redis_now_ms: i64) -> Marker {
        let position_of = |number| Position::new(number).unwrap();
        let head = position_of(head);
        let head = HeadStamp { log_id: LOG_ID, position: head, recorded_at: None, seen_at_ms };
        Marker { head: Some(head), redis_now_ms, ..marker(Shard::ZERO, position) }
    }

    #[test]
    fn what_was_answered_is_the_floor_of_what_is_answered_later() {
        let (horizons, began) = (Horizons::default(), Instant::now());
        let at = |position| point(marker(Shard::ZERO, position));
        assert_eq!(horizons.pass(&at(7), began, began + MS), Passage::Passed(None));
        assert_eq!(horizons.pass(&at(7), began + 2 * MS, began + 3 * MS), Passage::Passed(None));
        assert_eq!(horizons.pass(&at(6), began + 4 * MS, began + 5 * MS), Passage::Below);
        assert_eq!(horizons.pass(&at(8), began + 6 * MS, began + 7 * MS), Passage::Passed(None));
    }

    #[test]
    fn an_answer_that_another_overtook_is_read_again() {
        let (horizons, began) = (Horizons::default(), Instant::now());
        let at = |position| point(marker(Shard::ZERO, position));
        horizons.pass(&at(7), began, began + 2 * MS);
        assert_eq!(horizons.pass(&at(6), began + MS, began + 3 * MS), Passage::Overtaken);
    }

    #[test]
    fn every_view_shard_and_log_has_a_floor_of_its_own() {
        let (horizons, now) = (Horizons::default(), Instant::now());
        let high = marker(Shard::ZERO, 9);
        horizons.pass(&point(high), now, now);
        let low = marker(Shard::ZERO, 1);
        let other_view = Marker { view: View::Totals, ..low };
        let other_shard = Marker { shard: Shard::new(1).unwrap(), ..low };
        let mut other_log = low;
        other_log.checkpoint.log_id = LogId(uuid::Uuid::from_u128(2));
        for other in [other_view, other_shard, other_log] {
            assert_eq!(horizons.pass(&point(other), now + MS, now + MS), Passage::Passed(None));
        }
        let several = ReadPoint::join([&point(other_shard), &point(low)]).unwrap();
        assert_eq!(horizons.pass(&several, now + MS, now + MS), Passage::Below);
    }

    #[test]
    fn staleness_is_the_longer_of_both_clocks() {
        let (horizons, now) = (Horizons::default(), Instant::now());
        let age = |marker: Marker, after: u32| horizons.staleness(&marker, now + after * MS);
        assert_eq!(age(stamped(5, 5, 1000, 1040), 0), Some(40 * MS));
        assert_eq!(age(stamped(5, 5, 1000, 1041), 300), Some(300 * MS)); // Redis's clock stands
        assert_eq!(age(stamped(5, 5, 1200, 1210), 310), Some(10 * MS)); // a newer stamp
    }

    #[test]
    fn a_stamp_that_the_view_has_not_reached_does_not_count_but_an_older_one_does() {
        let (horizons, now) = (Horizons::default(), Instant::now());
        let age = |marker: Marker| horizons.staleness(&marker, now);
        assert_eq!(age(stamped(4, 5, 1000, 1010)), None);
        assert_eq!(age(stamped(5, 5, 1000, 1010)), Some(10 * MS));
        assert_eq!(age(stamped(6, 8, 1250, 1260)), Some(260 * MS));
        // Less than what was all of the log then says nothing about then.
        assert_eq!(age(stamped(4, 8, 1250, 1260)), None);
    }

    #[test]
    fn a_stamp_from_the_future_is_no_stamp() {
        let (horizons, now) = (Horizons::default(), Instant::now());
        let age = |marker: Marker| horizons.staleness(&marker, now);
        assert_eq!(age(stamped(5, 5, 2000, 1000)), None);
        // The clock went back after a good stamp; the next good one counts again.
        assert_eq!(age(stamped(5, 5, 2000, 2001)), Some(MS));
        assert_eq!(age(stamped(5, 5, 2000, 1000)), None);
        assert_eq!(age(stamped(5, 5, 1100, 1105)), Some(5 * MS));
    }

    #[test]
    fn several_shards_are_as_stale_as_the_stalest() {
        let (horizons, now) = (Horizons::default(), Instant::now());
        let one = stamped(5, 5, 1000, 1040);
        let two = Marker { shard: Shard::new(1).unwrap(), ..stamped(5, 5, 1030, 1040) };
        let unknown = Marker { shard: Shard::new(2).unwrap(), ..stamped(4, 5, 1030, 1040) };
        let pass = |markers: &[Marker]| {
            let points: Vec<_> = markers.iter().copied().map(ReadPoint::of).collect();
            horizons.pass(&ReadPoint::join(&points).unwrap(), now, now)
        };
        assert_eq!(pass(&[one, two]), Passage::Passed(Some(40 * MS)));
        assert_eq!(pass(&[one, unknown, two]), Passage::Passed(None));
        assert_eq!(pass(&[]), Passage::Passed(None));
    }
}

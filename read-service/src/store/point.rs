//! Which prefix of the log an answer includes.

use std::sync::OnceLock;

use ledger::{ConsistencyToken, LogId, Position, Shard, Timestamp};
use read_model::Marker;

/// Most bytes of a token inside an error: details travel in headers, and a longer text would be cut to no token at all.
const TOKEN_BYTES_MAX: usize = 256;
/// Bytes of a token that names no shard: `cf1.` and the log's id.
const TOKEN_HEAD_BYTES: usize = 36;
/// Most bytes that one shard adds: `.1023-9223372036854775807`.
const TOKEN_SHARD_BYTES_MAX: usize = 25;

/// One marker per shard that was read. Calls that shared a round trip share this too.
#[derive(Debug)]
pub(crate) struct ReadPoint {
    markers: Vec<Marker>,
    /// Written out once for all calls of a round trip.
    as_of: OnceLock<String>,
}

impl ReadPoint {
    /// The prefix that one read of one shard includes.
    pub(crate) fn of(marker: Marker) -> Self {
        Self { markers: vec![marker], as_of: OnceLock::new() }
    }

    /// The prefix that several reads together include; `None` when they are of different logs. Where two read the same
    /// shard, only what both include is included.
    pub(crate) fn join<'a>(points: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut markers: Vec<Marker> = Vec::new();
        for marker in points.into_iter().flat_map(|point| &point.markers) {
            let same_log = |seen: &Marker| seen.checkpoint.log_id == marker.checkpoint.log_id;
            if !markers.first().is_none_or(same_log) {
                return None;
            }
            let place =
                markers.iter_mut().find(|m| (m.view, m.shard) == (marker.view, marker.shard));
            match place {
                None => markers.push(*marker),
                Some(seen) if marker.checkpoint.position < seen.checkpoint.position => {
                    *seen = *marker;
                }
                Some(_) => {}
            }
        }
        Some(Self { markers, as_of: OnceLock::new() })
    }

    /// The markers, one per view and shard.
    pub(crate) fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// The log it is a prefix of; `None` if nothing was read.
    pub(crate) fn log_id(&self) -> Option<LogId> {
        self.markers.first().map(|marker| marker.checkpoint.log_id)
    }

    /// How far each shard is included.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (Shard, Position)> {
        self.markers.iter().map(|marker| (marker.shard, marker.checkpoint.position))
    }

    /// The prefix as a token.
    pub(crate) fn as_of(&self) -> &str {
        self.as_of.get_or_init(|| {
            self.log_id().map_or_else(String::new, |log_id| token(log_id, self.positions()))
        })
    }

    /// The prefix as a token that fits into an error.
    pub(crate) fn short_as_of(&self) -> String {
        match self.log_id() {
            Some(log_id) => short_token(log_id, self.positions()),
            None => String::new(),
        }
    }

    /// When the last event included was recorded; of several shards the oldest of theirs.
    pub(crate) fn as_of_time(&self) -> Option<Timestamp> {
        self.markers.iter().filter_map(|marker| marker.checkpoint.recorded_at).min()
    }
}

fn token(log_id: LogId, positions: impl Iterator<Item = (Shard, Position)>) -> String {
    ConsistencyToken { log_id, positions: positions.collect() }.to_string()
}

/// A token that fits into an error: of very many shards it names the first, which is still a true token.
pub(crate) fn short_token(
    log_id: LogId,
    positions: impl Iterator<Item = (Shard, Position)>,
) -> String {
    const SHARDS_MAX: usize = (TOKEN_BYTES_MAX - TOKEN_HEAD_BYTES) / TOKEN_SHARD_BYTES_MAX;
    token(log_id, positions.take(SHARDS_MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use read_model::{Checkpoint, Generation, View};

    use super::*;

    pub(crate) const LOG_ID: LogId = LogId(uuid::Uuid::from_u128(1));

    pub(crate) fn marker(shard: Shard, position: i64) -> Marker {
        let checkpoint = Checkpoint {
            log_id: LOG_ID,
            position: Position::new(position).unwrap(),
            hash: [0; 32],
            recorded_at: Timestamp::from_micros(position),
            entries_max: 0,
        };
        let (view, generation) = (View::Accounts, Generation::new(1).unwrap());
        Marker { view, shard, generation, checkpoint, head: None, redis_now_ms: 0 }
    }

    fn point(shard: i16, position: i64) -> ReadPoint {
        ReadPoint::of(marker(Shard::new(shard).unwrap(), position))
    }

    #[test]
    fn shards_read_together_include_what_each_of_them_does() {
        let joined = ReadPoint::join([&point(2, 20), &point(0, 10)]).unwrap();
        assert_eq!(joined.as_of(), format!("cf1.{LOG_ID}.0-10.2-20"));
        assert_eq!(joined.as_of_time(), Timestamp::from_micros(10));
    }

    #[test]
    fn a_shard_read_twice_includes_what_both_reads_do() {
        for order in [[7, 9], [9, 7]] {
            let [first, second] = order.map(|position| point(0, position));
            let joined = ReadPoint::join([&first, &second]).unwrap();
            assert_eq!(joined.as_of(), format!("cf1.{LOG_ID}.0-7"));
        }
    }

    #[test]
    fn reads_of_different_logs_do_not_go_together() {
        let mut other = marker(Shard::ZERO, 1);
        other.checkpoint.log_id = LogId(uuid::Uuid::from_u128(2));
        assert!(ReadPoint::join([&point(1, 1), &ReadPoint::of(other)]).is_none());
    }

    #[test]
    fn a_token_in_an_error_is_never_cut_in_the_middle() {
        let points: Vec<_> = (0..1024).map(|shard| point(shard, i64::MAX)).collect();
        let joined = ReadPoint::join(&points).unwrap();
        let short = joined.short_as_of();
        assert!(short.len() <= TOKEN_BYTES_MAX, "{}", short.len());
        let token: ConsistencyToken = short.parse().unwrap();
        assert!(token.positions.len() >= 8, "{short}");
        assert_eq!(point(0, 5).short_as_of(), point(0, 5).as_of());
    }
}

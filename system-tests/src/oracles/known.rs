//! What was known when: which positions were acknowledged before a moment, and which were asked for only after it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::Evidence;
use crate::{
    history::{Answer, Call, Ending, Moment},
    model::Place,
};

/// Acknowledgements in the order of time, shard by shard.
#[derive(Debug, Default)]
pub(super) struct Known {
    shards: BTreeMap<i16, Timeline>,
}

#[derive(Debug, Default)]
struct Timeline {
    /// Ascending moments, each with the highest position acknowledged until then.
    acknowledged: Vec<(Moment, i64)>,
    /// Ascending moments, each with the lowest position of calls that began then or later.
    asked: Vec<(Moment, i64)>,
}

impl Known {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let rows: HashMap<Uuid, Place> =
            evidence.rows().iter().filter_map(|row| Some((row.request_id?, row.place))).collect();
        let mut known = Self::default();
        for call in &evidence.calls {
            let began = call.began();
            for (shard, least, most, ended) in decided_at(call, &rows) {
                let timeline = known.shards.entry(shard).or_default();
                timeline.acknowledged.push((ended, most));
                timeline.asked.push((began, least));
            }
        }
        for timeline in known.shards.values_mut() {
            timeline.acknowledged.sort_unstable();
            let mut highest = 0;
            for (_, position) in &mut timeline.acknowledged {
                highest = highest.max(*position);
                *position = highest;
            }
            timeline.asked.sort_unstable();
            let mut lowest = i64::MAX;
            for (_, position) in timeline.asked.iter_mut().rev() {
                lowest = lowest.min(*position);
                *position = lowest;
            }
        }
        known
    }

    /// The highest position that was acknowledged before a moment; 0 if none was.
    pub(super) fn acknowledged_before(&self, shard: i16, moment: Moment) -> i64 {
        let Some(timeline) = self.shards.get(&shard) else { return 0 };
        let later = timeline.acknowledged.partition_point(|(ended, _)| *ended < moment);
        later.checked_sub(1).map_or(0, |last| timeline.acknowledged[last].1)
    }

    /// The lowest position that was asked for only after a moment.
    pub(super) fn asked_after(&self, shard: i16, moment: Moment) -> Option<i64> {
        let timeline = self.shards.get(&shard)?;
        let first = timeline.asked.partition_point(|(began, _)| *began <= moment);
        timeline.asked.get(first).map(|(_, position)| *position)
    }
}

/// Where a call was decided, if its caller knows that it was: shard, lowest and highest position, and since when it is known.
pub(super) fn decided_at(call: &Call, rows: &HashMap<Uuid, Place>) -> Vec<(i16, i64, i64, Moment)> {
    if let Some((ended, done)) = call.applied() {
        let mut places: BTreeMap<i16, (i64, i64)> = BTreeMap::new();
        for done in done {
            for (shard, position) in &done.places {
                // The token names the last row of a command in a shard; its first is `position`, in the first one.
                let least = if done.places.len() == 1 { done.position } else { *position };
                let place = places.entry(*shard).or_insert((least, *position));
                *place = (place.0.min(least), place.1.max(*position));
            }
        }
        return places.into_iter().map(|(shard, (a, b))| (shard, a, b, ended)).collect();
    }
    if let Ending::Refused(refused) = call.ending()
        && let Some(place) = rows.get(&call.request_id)
    {
        let told = |answer: &Answer| matches!(answer, Answer::Refused(told) if told == refused);
        let ended = call.attempts.iter().filter(|attempt| told(&attempt.answer));
        let ended = ended.map(|attempt| attempt.ended).min().unwrap_or(Moment::MAX);
        return vec![(place.shard, place.position, place.position, ended)];
    }
    Vec::new()
}

//! Events that nobody asked for. A command's first event has its request id, and so has the row by which an atomic batch is
//! found; the batch's other rows, and what a transfer's destination received, have none.

use std::collections::BTreeMap;

use event_store::{BatchExtent, Error, LogReader, RecordedEvent};
use ledger::{Event, Position, Shard};

use super::{chain::finding_of, findings::Findings};
use crate::failure::Failure;

/// Positions that are looked through by one statement.
const STRIDE: usize = 100_000;

/// So many statements are enough for what is written while a log is verified.
const STRIDES_MAX: usize = 10_000;

/// Positions of a shard, from the first to the last.
type Run = (i64, i64);

/// What has no request id, and what atomic batches say is theirs.
#[derive(Default)]
pub(super) struct Unnamed {
    rows: BTreeMap<Shard, Vec<Run>>,
    of_batches: BTreeMap<Shard, Vec<Run>>,
    marks_are_missing: bool,
}

impl Unnamed {
    /// Notes the next event of its shard.
    pub(super) fn note(&mut self, event: &RecordedEvent) {
        if event.request_id.is_some() || matches!(event.event, Event::TransferReceived(_)) {
            return;
        }
        let position = event.position.get();
        let runs = self.rows.entry(event.shard).or_default();
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == position => *last = position,
            _ => runs.push((position, position)),
        }
    }

    /// Takes in where a batch says its rows are. One that says it has more than it can have says nothing.
    pub(super) fn batch(&mut self, extent: BatchExtent) {
        let BatchExtent { shard, first, rows } = extent;
        if (1..=BatchExtent::ROWS_MAX).contains(&rows) {
            let run = (first.get(), first.get() + i64::from(rows) - 1);
            self.of_batches.entry(shard).or_default().push(run);
        }
    }

    /// It has been said that something cannot be read; a batch's mark may be in it.
    pub(super) fn marks_are_missing(&mut self) {
        self.marks_are_missing = true;
    }

    /// Names what is in no batch. `ends` are where the walks along the shards have ended.
    pub(super) async fn verify(
        mut self,
        log: &LogReader,
        ends: &[(Shard, Position)],
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        // A batch that was stored meanwhile may have its mark behind the end of a walk, and rows before that of a later one.
        if !self.in_no_batch().is_empty() {
            for (shard, end) in ends {
                if let Err(error) = self.read_on(log, *shard, *end).await {
                    let (position, finding) = finding_of(error)?;
                    findings.add(*shard, format!("row {position}"), finding);
                    self.marks_are_missing();
                }
            }
        }
        let what = match self.marks_are_missing {
            true => {
                "no request id, and in no atomic batch that can be read; its mark may be in what is broken"
            }
            false => "no request id, and in no atomic batch: no command did this",
        };
        for (shard, (first, last)) in self.in_no_batch() {
            let place = match first == last {
                true => format!("row {first}"),
                false => format!("rows {first} to {last}"),
            };
            findings.add(shard, place, what);
        }
        Ok(())
    }

    async fn read_on(
        &mut self,
        log: &LogReader,
        shard: Shard,
        mut end: Position,
    ) -> Result<(), Error> {
        let head = log.head(shard).await?.map_or(Position::ZERO, |head| head.link.position);
        let head = head.min(end.plus(STRIDE * STRIDES_MAX)); // one that is edited may be anywhere
        while end < head {
            let (first, last) = (end.plus(1), end.plus(STRIDE).min(head));
            let marks = log.batch_marks(shard, first, last).await?;
            marks.into_iter().for_each(|extent| self.batch(extent));
            end = last;
        }
        Ok(())
    }

    fn in_no_batch(&mut self) -> Vec<(Shard, Run)> {
        let mut left = Vec::new();
        for (shard, rows) in &self.rows {
            let batches = self.of_batches.entry(*shard).or_default();
            batches.sort_unstable();
            left.extend(not_in(rows, batches).into_iter().map(|run| (*shard, run)));
        }
        left
    }
}

/// What of `rows` is in none of `batches`. Both are in order.
fn not_in(rows: &[Run], batches: &[Run]) -> Vec<Run> {
    let mut left = Vec::new();
    let mut batches = batches.iter().peekable();
    for &(first, last) in rows {
        let mut from = first;
        while let Some(&&(batch_first, batch_last)) = batches.peek() {
            if batch_first > last {
                break;
            }
            if from < batch_first {
                left.push((from, batch_first - 1));
            }
            from = from.max(batch_last + 1);
            if batch_last > last {
                break; // it may hold some of the next rows as well
            }
            batches.next();
        }
        if from <= last {
            left.push((from, last));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_batch_holds_is_left() {
        for (rows, batches, left) in [
            (vec![], vec![(1, 9)], vec![]),
            (vec![(1, 3)], vec![], vec![(1, 3)]),
            (vec![(2, 3), (5, 6)], vec![(1, 9)], vec![]),
            (vec![(1, 9)], vec![(2, 3), (5, 6)], vec![(1, 1), (4, 4), (7, 9)]),
            (vec![(1, 4), (6, 9)], vec![(3, 7)], vec![(1, 2), (8, 9)]),
            (vec![(5, 5)], vec![(1, 2), (3, 4), (6, 7)], vec![(5, 5)]),
            (vec![(5, 6)], vec![(1, 5), (2, 6)], vec![]),
        ] {
            assert_eq!(not_in(&rows, &batches), left, "{rows:?} and {batches:?}");
        }
    }
}

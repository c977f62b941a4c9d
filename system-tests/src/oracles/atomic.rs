//! O4: a transfer is on both sides or on neither, and an atomic batch is there whole or not at all.

use std::collections::HashMap;

use super::{Evidence, Verdict};
use crate::{
    history::Work,
    model::{Command, Doing, Fact, Place, Row, Sum},
};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let rows: HashMap<Place, &Row> = evidence.rows().iter().map(|row| (row.place, row)).collect();
    let mut verdict = Verdict::default();
    for row in evidence.rows() {
        match &row.fact {
            Fact::Done(Doing::Transfer { to, sum }) => {
                let peer = row.peer.and_then(|peer| rows.get(&peer));
                let right = peer.is_some_and(|peer| is_received(peer, row, to, sum));
                verdict.judge(right, || format!("{row:?} has {peer:?} on its other side"));
            }
            Fact::Received { from, sum } => {
                let peer = row.peer.and_then(|peer| rows.get(&peer));
                let right = peer.is_some_and(|peer| {
                    let Fact::Done(Doing::Transfer { to, sum: sent }) = &peer.fact else {
                        return false;
                    };
                    (&peer.account, to, sent) == (from, &row.account, sum)
                });
                verdict.judge(right, || format!("{row:?} has {peer:?} on its other side"));
            }
            Fact::Done(_) | Fact::Refused { .. } => {}
        }
    }
    for call in &evidence.calls {
        let Work::Atomic(commands) = &call.work else { continue };
        // With several shards the rows are told apart by O1 alone, for batches that were acknowledged.
        let is_marked = |row: &&Row| row.request_id == Some(call.request_id);
        if evidence.log.shards == 1
            && let Some(marked) = evidence.rows().iter().find(is_marked)
        {
            verdict.judge(is_whole(&rows, marked.place, commands), || {
                format!("the batch {} has {marked:?}, and is not {commands:?}", call.request_id)
            });
        }
    }
    verdict
}

fn is_received(peer: &Row, sent: &Row, to: &str, sum: &Sum) -> bool {
    let received = Fact::Received { from: sent.account.clone(), sum: sum.clone() };
    peer.account == to && peer.fact == received && peer.peer == Some(sent.place)
}

/// Whether a batch's rows follow one another: one row for each command, two for a transfer. The row with its id is that of any one
/// of its commands.
fn is_whole(rows: &HashMap<Place, &Row>, marked: Place, commands: &[Command]) -> bool {
    let length = |command: &Command| if command.destination().is_some() { 2 } else { 1 };
    let begins_at = |first: i64| {
        let mut place = Place { position: first, ..marked };
        commands.iter().all(|command| {
            let is_there = rows.get(&place).is_some_and(|row| row.is_done_by(command));
            place.position += length(command);
            is_there
        })
    };
    let mut before = 0;
    commands.iter().any(|command| {
        let first = marked.position - before;
        before += length(command);
        begins_at(first)
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        history::{
            Call,
            given::{attempt, unknown},
        },
        model::{
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    #[test]
    fn a_transfer_with_both_sides_is_fine() {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 30);
        assert!(is_content(&judge(&evidence(&log, Vec::new()))));
    }

    #[test]
    fn a_transfer_that_lacks_a_side_or_moves_two_sums_is_noticed() {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 30);
        let mut lacking = log.clone();
        lacking.0.pop();
        assert_eq!(judge(&evidence(&lacking, Vec::new())).wrong, 1);
        let mut unequal = log.clone();
        unequal.0[5].fact = Fact::Received { from: "a".into(), sum: euros(31) };
        assert_eq!(judge(&evidence(&unequal, Vec::new())).wrong, 2);
        let mut from_nowhere = log;
        from_nowhere.0.remove(4);
        assert_eq!(judge(&evidence(&from_nowhere, Vec::new())).wrong, 1);
    }

    #[test]
    fn half_of_a_batch_is_noticed_also_if_nobody_was_told() {
        let commands: Vec<_> =
            [1, 2].map(|amount| command("a", Doing::Deposit(euros(amount)))).into();
        let mut call = Call::new(Uuid::from_u128(7), Work::Atomic(commands));
        call.attempts.push(attempt(0, 1, unknown()));
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Deposit(euros(1)));
        assert_eq!(judge(&evidence(&log, vec![call.clone()])).wrong, 1);
        log.done("a", 0, Doing::Deposit(euros(2)));
        assert!(is_content(&judge(&evidence(&log, vec![call]))));
    }
}

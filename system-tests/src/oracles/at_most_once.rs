//! O2: a request id is decided at most once, however often it was sent, and its acknowledgements name one place.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Evidence, Verdict};
use crate::{
    history::{Answer, Call, Work},
    model::{Command, Fact, Place, Row},
};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let mut places: HashMap<Uuid, Vec<Place>> = HashMap::new();
    for row in evidence.rows() {
        if let Some(id) = row.request_id {
            places.entry(id).or_default().push(row.place);
        }
    }
    for (id, places) in &places {
        verdict.judge(places.len() == 1, || format!("{id} was decided at {places:?}"));
    }
    for call in &evidence.calls {
        let mut acknowledged: Vec<Vec<i64>> = Vec::new();
        for attempt in &call.attempts {
            if let Answer::Applied(done) = &attempt.answer {
                acknowledged.push(done.iter().map(|done| done.position).collect());
            }
        }
        let first = acknowledged.first().cloned().unwrap_or_default();
        verdict.judge(acknowledged.iter().all(|places| *places == first), || {
            format!("{} was acknowledged at {acknowledged:?}", call.request_id)
        });
    }
    let asked: HashMap<Uuid, &Call> =
        evidence.calls.iter().map(|call| (call.request_id, call)).collect();
    // An atomic batch has its id on one row. So many rows without one there must be, and no more.
    let mut of_batches: Vec<&Command> = Vec::new();
    let applied = evidence.calls.iter().filter(|call| places.contains_key(&call.request_id));
    for call in applied {
        if let Work::Atomic(commands) = &call.work {
            of_batches.extend(commands);
        }
    }
    for row in evidence.rows() {
        let call = row.request_id.and_then(|id| asked.get(&id));
        let was_asked_for = match (row.request_id, call) {
            (Some(_), Some(call)) => was_asked_for(row, call),
            (Some(_), None) => false,
            (None, _) => matches!(row.fact, Fact::Received { .. }),
        };
        let in_batch = row.request_id.is_none()
            || call.is_some_and(|call| matches!(call.work, Work::Atomic(_)));
        let done_by = of_batches.iter().position(|command| in_batch && row.is_done_by(command));
        if let Some(command) = done_by {
            of_batches.swap_remove(command);
        }
        verdict.judge(was_asked_for || done_by.is_some(), || format!("nobody asked for {row:?}"));
    }
    verdict
}

/// Money that moved under an id moved as that id said.
fn was_asked_for(row: &Row, call: &Call) -> bool {
    match &row.fact {
        Fact::Done(_) => call.work.commands().iter().any(|command| row.is_done_by(command)),
        Fact::Refused { command, .. } => call.work.commands().contains(command),
        Fact::Received { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::given::{applied, attempt, call, unknown},
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    /// With a call for everything that the test does not care about.
    fn judged(log: &GivenLog, of_test: Call) -> Verdict {
        let others = log.0.iter().filter_map(|row| {
            let id = row.request_id.filter(|id| id.as_u128() >= 1_000_000)?;
            let Fact::Done(doing) = &row.fact else { return None };
            Some(Call::new(id, Work::One(command(&row.account, doing.clone()))))
        });
        let calls = others.chain([of_test]).collect();
        judge(&evidence(log, calls))
    }

    fn deposit(amount: i64) -> Doing {
        Doing::Deposit(euros(amount))
    }

    #[test]
    fn one_row_for_two_attempts_is_fine() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        let mut call = call(7, command("a", deposit(5)), 0, 1, unknown());
        call.attempts.push(attempt(2, 3, applied(5, "a", 3, 105)));
        assert!(is_content(&judged(&log, call)));
    }

    #[test]
    fn a_command_that_was_applied_twice_is_noticed_also_if_nobody_was_told() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        log.done("a", 7, deposit(5));
        let call = call(7, command("a", deposit(5)), 0, 1, unknown());
        assert_eq!(judged(&log, call).wrong, 1);
    }

    #[test]
    fn two_answers_with_two_places_are_noticed() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        let mut call = call(7, command("a", deposit(5)), 0, 1, applied(5, "a", 3, 105));
        call.attempts.push(attempt(2, 3, applied(6, "a", 4, 110)));
        assert_eq!(judged(&log, call).wrong, 1);
    }

    #[test]
    fn something_else_under_an_id_is_noticed() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(6));
        let call = call(7, command("a", deposit(5)), 0, 1, unknown());
        assert_eq!(judged(&log, call).wrong, 1);
    }

    #[test]
    fn money_that_moved_and_nobody_asked_for_is_noticed() {
        for id in [8, u128::MAX] {
            let mut log = GivenLog::two_accounts();
            log.done("a", 7, deposit(5));
            log.done("a", id, deposit(5));
            let call = call(7, command("a", deposit(5)), 0, 1, unknown());
            assert_eq!(judged(&log, call).wrong, 1, "{id}");
        }
    }

    #[test]
    fn a_batch_has_as_many_rows_as_commands() {
        let batch = Work::Atomic(vec![command("a", deposit(5)), command("a", deposit(5))]);
        let of_batch =
            || Call { work: batch.clone(), ..call(7, command("a", deposit(5)), 0, 1, unknown()) };
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        log.done("a", u128::MAX, deposit(5));
        assert!(is_content(&judged(&log, of_batch())));
        log.done("a", u128::MAX, deposit(5));
        assert_eq!(judged(&log, of_batch()).wrong, 1);
    }
}

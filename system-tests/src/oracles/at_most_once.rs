//! O2: a request id is decided at most once, however often it was sent, and its acknowledgements name one place.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Evidence, Verdict};
use crate::{
    history::{Answer, Call},
    model::{Fact, Place, Row},
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
    let asked = evidence.calls.iter().map(|call| (call.request_id, call)).collect();
    for row in evidence.rows() {
        verdict.judge(was_asked_for(row, &asked), || format!("nobody asked for {row:?}"));
    }
    verdict
}

/// Money that moved under an id of ours moved as that id said. Ids of nobody are the supervisor's own.
fn was_asked_for(row: &Row, asked: &HashMap<Uuid, &Call>) -> bool {
    let Some(call) = row.request_id.and_then(|id| asked.get(&id)) else { return true };
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

    fn deposit(amount: i64) -> Doing {
        Doing::Deposit(euros(amount))
    }

    #[test]
    fn one_row_for_two_attempts_is_fine() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        let mut call = call(7, command("a", deposit(5)), 0, 1, unknown());
        call.attempts.push(attempt(2, 3, applied(5, "a", 3, 105)));
        assert!(is_content(&judge(&evidence(&log, vec![call]))));
    }

    #[test]
    fn a_command_that_was_applied_twice_is_noticed_also_if_nobody_was_told() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        log.done("a", 7, deposit(5));
        let call = call(7, command("a", deposit(5)), 0, 1, unknown());
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
    }

    #[test]
    fn two_answers_with_two_places_are_noticed() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5));
        let mut call = call(7, command("a", deposit(5)), 0, 1, applied(5, "a", 3, 105));
        call.attempts.push(attempt(2, 3, applied(6, "a", 4, 110)));
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
    }

    #[test]
    fn something_else_under_an_id_is_noticed() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(6));
        let call = call(7, command("a", deposit(5)), 0, 1, unknown());
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
    }
}

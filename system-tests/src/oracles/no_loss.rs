//! O1: every command that was acknowledged is in the log, at the place that was answered, and did what was asked.

use std::collections::HashMap;

use super::{Evidence, Verdict};
use crate::{
    history::{Answer, Call, Done},
    model::{Place, Row},
};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let rows: HashMap<Place, &Row> = evidence.rows().iter().map(|row| (row.place, row)).collect();
    let mut verdict = Verdict::default();
    for call in &evidence.calls {
        for attempt in &call.attempts {
            if let Answer::Applied(done) = &attempt.answer {
                let right = is_there(evidence, &rows, call, done);
                verdict.judge(right.is_ok(), || {
                    let why = right.unwrap_err();
                    format!("{} was acknowledged ({done:?}), but {why}", call.request_id)
                });
            }
        }
    }
    verdict
}

fn is_there(
    evidence: &Evidence,
    rows: &HashMap<Place, &Row>,
    call: &Call,
    done: &[Done],
) -> Result<(), String> {
    let commands = call.work.commands();
    if done.len() != commands.len() {
        return Err(format!("{} results were given for {}", done.len(), commands.len()));
    }
    let mut named = false;
    for (command, done) in commands.iter().zip(done) {
        if done.log_id != evidence.log.log_id {
            return Err(format!("log {} is not there", done.log_id));
        }
        let life = evidence.replay.lives.get(&command.account);
        let shard = life.map(|life| life.shard).ok_or("its account is not in the log")?;
        let place = Place { shard, position: done.position };
        let row = rows.get(&place).ok_or_else(|| format!("there is nothing at {place}"))?;
        if !row.is_done_by(command) {
            return Err(format!("at {place} is {row:?}, which is something else"));
        }
        named |= row.request_id == Some(call.request_id);
    }
    if named { Ok(()) } else { Err("no row there has its id".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::given::{applied, call},
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    fn judged(id: u128, position: i64, amount: i64) -> Verdict {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Deposit(euros(5)));
        let deposit = command("a", Doing::Deposit(euros(amount)));
        judge(&evidence(&log, vec![call(id, deposit, 0, 1, applied(position, "a", 3, 105))]))
    }

    #[test]
    fn what_is_at_its_place_is_fine() {
        assert!(is_content(&judged(7, 5, 5)));
    }

    #[test]
    fn a_lost_or_changed_or_misplaced_command_is_noticed() {
        for (id, position, amount) in [(7, 6, 5), (7, 4, 5), (7, 5, 6), (8, 5, 5)] {
            assert_eq!(judged(id, position, amount).wrong, 1, "{id} {position} {amount}");
        }
    }
}

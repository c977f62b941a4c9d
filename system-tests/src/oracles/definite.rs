//! O3: definite is definite. What was refused, shed or invalid moved no money; a refusal that is kept stays the same one.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Evidence, Verdict};
use crate::{
    history::{Answer, Attempt, Call, Ending},
    model::{Fact, Row},
    traffic::QUIET,
};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut rows: HashMap<Uuid, &Row> = HashMap::new();
    for row in evidence.rows() {
        if let Some(id) = row.request_id {
            rows.insert(id, row);
        }
    }
    let mut verdict = Verdict::default();
    for call in &evidence.calls {
        let id = call.request_id;
        let row = rows.get(&id);
        match call.ending() {
            Ending::Refused(refused) => {
                let kept = match row.map(|row| &row.fact) {
                    Some(Fact::Refused { reason, .. }) => *reason == refused.reason,
                    _ => false,
                };
                verdict.judge(kept, || {
                    format!("{id} was refused with {}, but the log has {row:?}", refused.reason)
                });
            }
            Ending::Nothing => verdict.judge(row.is_none(), || {
                format!("{id} certainly did nothing ({:?}), but the log has {row:?}", call.attempts)
            }),
            Ending::Undecided if asked_in_the_end(call) => verdict.judge(row.is_none(), || {
                format!(
                    "{id} was nothing when all was quiet ({:?}), but the log has {row:?}",
                    call.attempts
                )
            }),
            Ending::Applied(_) | Ending::Undecided | Ending::Unresolved => {}
        }
        if let Some(one) = has_one_first(call) {
            verdict.judge(one, || {
                format!(
                    "{id} was decided by none of these attempts, or by several: {:?}",
                    call.attempts
                )
            });
        }
        let forgotten = forgotten(call);
        verdict.judge(forgotten.is_none(), || format!("{id} was decided, and then {forgotten:?}"));
        let answers = kept_answers(call);
        verdict.judge(answers.len() <= 1, || format!("{id} was answered with {answers:?}"));
    }
    verdict
}

/// Whether the last attempt was so late that none before it can have been under way any more.
fn asked_in_the_end(call: &Call) -> bool {
    let mut attempts = call.attempts.iter().rev();
    let Some(last) = attempts.next() else { return false };
    attempts.all(|before| before.ended + QUIET <= last.sent)
}

/// A refusal, of an attempt that began when the decision was known, that is not the decision.
fn forgotten(call: &Call) -> Option<&Attempt> {
    let decides = |attempt: &&Attempt| match &attempt.answer {
        Answer::Applied(_) => true,
        Answer::Refused(refused) => refused.is_kept(),
        Answer::NotApplied { .. } | Answer::Unknown { .. } => false,
    };
    let known = call.attempts.iter().filter(decides).map(|attempt| attempt.ended).min()?;
    call.attempts.iter().find(|attempt| match &attempt.answer {
        Answer::Refused(refused) => attempt.sent > known && !refused.is_kept(),
        _ => false,
    })
}

/// Whether exactly one attempt was told that it was decided by that one, and not by an earlier one. Nothing is known of it where
/// nobody was told a decision, or an unknown answer may have been that one.
fn has_one_first(call: &Call) -> Option<bool> {
    let mut firsts = 0;
    let mut decided = false;
    for attempt in &call.attempts {
        let replayed = match &attempt.answer {
            Answer::Unknown { .. } => return None,
            Answer::NotApplied { .. } => continue,
            Answer::Applied(done) => done.iter().all(|done| done.replayed),
            Answer::Refused(refused) if refused.is_kept() => refused.replayed,
            Answer::Refused(_) => continue,
        };
        decided = true;
        firsts += u32::from(!replayed);
    }
    decided.then_some(firsts == 1)
}

/// All different answers that were to stay.
fn kept_answers(call: &Call) -> BTreeSet<String> {
    let kept = call.attempts.iter().filter_map(|attempt| match &attempt.answer {
        Answer::Applied(_) => Some("applied".to_owned()),
        Answer::Refused(refused) if refused.is_kept() => Some(refused.reason.clone()),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{
            Refused,
            given::{applied, attempt, call, refused, shed, unknown},
        },
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    const NO_FUNDS: &str = "INSUFFICIENT_FUNDS";

    /// The same answer, told to somebody who asks again.
    fn again(answer: Answer) -> Answer {
        match answer {
            Answer::Applied(mut done) => {
                done.iter_mut().for_each(|done| done.replayed = true);
                Answer::Applied(done)
            }
            Answer::Refused(refused) => Answer::Refused(Refused { replayed: true, ..refused }),
            other => other,
        }
    }

    fn withdrawal() -> crate::model::Command {
        command("a", Doing::Withdraw(euros(500)))
    }

    #[test]
    fn a_refusal_that_is_kept_and_a_call_that_was_shed_are_fine() {
        let mut log = GivenLog::two_accounts();
        log.refused(7, withdrawal(), NO_FUNDS);
        let mut refused = call(7, withdrawal(), 0, 1, refused(NO_FUNDS));
        refused.attempts.push(attempt(2, 3, again(refused.attempts[0].answer.clone())));
        let shed = call(8, withdrawal(), 0, 1, shed());
        assert!(is_content(&judge(&evidence(&log, vec![refused, shed]))));
    }

    #[test]
    fn money_moved_by_what_was_refused_or_shed_is_noticed() {
        let mut log = GivenLog::two_accounts();
        let doing = Doing::Withdraw(euros(5));
        log.done("a", 7, doing.clone());
        for answer in [refused(NO_FUNDS), refused("ACCOUNT_NOT_FOUND"), shed()] {
            let call = call(7, command("a", doing.clone()), 0, 1, answer);
            assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
        }
        // Of an attempt before it nobody knew.
        let mut call = call(7, command("a", doing), 0, 1, unknown());
        call.attempts.push(attempt(2, 3, shed()));
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 0);
    }

    #[test]
    fn what_was_nothing_when_all_was_quiet_is_nothing_in_the_log() {
        let mut log = GivenLog::two_accounts();
        let doing = Doing::Deposit(euros(5));
        log.done("a", 7, doing.clone());
        let mut call = call(7, command("a", doing), 0, 1, unknown());
        call.attempts.push(attempt(2, 3, refused("ACCOUNT_NOT_FOUND")));
        assert_eq!(judge(&evidence(&log, vec![call.clone()])).wrong, 0, "it was under way");
        call.attempts.push(attempt(9_000, 9_001, refused("ACCOUNT_NOT_FOUND")));
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
    }

    #[test]
    fn a_decision_that_nobody_was_told_of_or_that_was_made_twice_is_noticed() {
        let mut log = GivenLog::two_accounts();
        let doing = Doing::Deposit(euros(5));
        log.done("a", 7, doing.clone());
        let first = || applied(5, "a", 3, 105);
        let wrong = |answers: [Answer; 2]| {
            let [one, two] = answers;
            let mut call = call(7, command("a", doing.clone()), 0, 1, one);
            call.attempts.push(attempt(2, 3, two));
            judge(&evidence(&log, vec![call])).wrong
        };
        assert_eq!(wrong([first(), again(first())]), 0);
        assert_eq!(wrong([shed(), first()]), 0);
        assert_eq!(wrong([unknown(), again(first())]), 0, "it may have been the unknown one");
        assert_eq!(wrong([shed(), again(first())]), 1, "what was shed was applied");
        assert_eq!(wrong([first(), first()]), 1, "both say that they did it");
    }

    #[test]
    fn a_decision_that_is_forgotten_is_noticed() {
        let (owner, currency) = ("owner".into(), "EUR".into());
        let open = Doing::Open { owner, currency, limit: 0 };
        let mut log = GivenLog::two_accounts();
        log.done("c", 7, open.clone());
        let mut call = call(7, command("c", open), 0, 1, applied(5, "c", 1, 0));
        call.attempts.push(attempt(1, 3, refused("ACCOUNT_ALREADY_EXISTS")));
        assert_eq!(judge(&evidence(&log, vec![call.clone()])).wrong, 0, "it was not known yet");
        call.attempts.push(attempt(2, 3, refused("ACCOUNT_ALREADY_EXISTS")));
        assert_eq!(judge(&evidence(&log, vec![call])).wrong, 1);
    }

    #[test]
    fn a_refusal_that_is_not_kept_or_changes_is_noticed() {
        let log = GivenLog::two_accounts();
        let lost = call(7, withdrawal(), 0, 1, refused(NO_FUNDS));
        assert_eq!(judge(&evidence(&log, vec![lost.clone()])).wrong, 1);
        let mut log = GivenLog::two_accounts();
        log.refused(7, withdrawal(), NO_FUNDS);
        let mut changed = lost;
        changed.attempts.push(attempt(2, 3, again(applied(5, "a", 3, 0))));
        assert_eq!(judge(&evidence(&log, vec![changed])).wrong, 1);
    }
}

//! O10: it comes back. After each fault the first command is acknowledged and reads catch up in time; every unknown outcome is
//! resolved by asking again; nothing is used up; and no process ends by itself.

use std::time::Duration;

use super::{Evidence, Verdict};
use crate::history::Ending;

/// What a process may hold at the end beyond what it held before the faults.
const DESCRIPTORS_MORE_MAX: u64 = 64;
/// The same of a store's connections, as one more instance of everything would have.
const CONNECTIONS_MORE_MAX: u64 = 16;
const MEMORY_MORE_MAX_KIB: u64 = 128 * 1024;

/// What the footprint of a store's connections is called by, before its name.
pub(crate) const CONNECTIONS: &str = "connections to ";

/// How long it took after a fault was over.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    pub(crate) fault: &'static str,
    /// Until a command was acknowledged by every write service. `None`: it was given up.
    pub(crate) first_ok: Option<Duration>,
    /// Until a read that gives a token back took less than a second at every read service.
    pub(crate) caught_up: Option<Duration>,
}

/// What a process held before the faults and after them.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    pub(crate) process: String,
    pub(crate) before: (u64, u64),
    pub(crate) after: (u64, u64),
}

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for recovery in &evidence.recoveries {
        let recovered = recovery.first_ok.is_some() && recovery.caught_up.is_some();
        verdict.judge(recovered, || format!("not in time: {recovery:?}"));
    }
    for call in &evidence.calls {
        verdict.judge(call.ending() != Ending::Unresolved, || {
            format!("{} was never resolved: {:?}", call.request_id, call.attempts)
        });
    }
    for footprint in &evidence.footprints {
        let Footprint { process, before: (memory, descriptors), after } = footprint;
        let more_max = match process.starts_with(CONNECTIONS) {
            true => CONNECTIONS_MORE_MAX,
            false => DESCRIPTORS_MORE_MAX,
        };
        let bounded = after.0 <= memory + MEMORY_MORE_MAX_KIB && after.1 <= descriptors + more_max;
        verdict.judge(bounded, || {
            let before = footprint.before;
            format!("{process} went from {before:?} (KiB, descriptors) to {after:?}")
        });
    }
    for accident in &evidence.accidents {
        verdict.judge(false, || accident.clone());
    }
    verdict
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

    #[test]
    fn an_outcome_that_nobody_learned_is_noticed() {
        let deposit = command("a", Doing::Deposit(euros(5)));
        let mut call = call(7, deposit, 0, 1, unknown());
        let log = GivenLog::two_accounts();
        assert_eq!(judge(&evidence(&log, vec![call.clone()])).wrong, 1);
        call.attempts.push(attempt(2, 3, applied(5, "a", 3, 105)));
        assert!(is_content(&judge(&evidence(&log, vec![call]))));
    }

    #[test]
    fn what_does_not_come_back_or_is_used_up_or_ends_is_noticed() {
        let log = GivenLog::two_accounts();
        let (fault, second) = ("kill", Some(Duration::from_secs(1)));
        let mut evidence = evidence(&log, Vec::new());
        evidence.recoveries = vec![
            Recovery { fault, first_ok: second, caught_up: second },
            Recovery { fault, first_ok: second, caught_up: None },
        ];
        assert_eq!(judge(&evidence).wrong, 1);
        let process = "writer-0".to_owned();
        evidence.footprints = vec![Footprint { process, before: (1000, 20), after: (2000, 200) }];
        assert_eq!(judge(&evidence).wrong, 2);
        let process = format!("{CONNECTIONS}Redis");
        evidence.footprints.push(Footprint { process, before: (0, 20), after: (0, 40) });
        assert_eq!(judge(&evidence).wrong, 3);
        evidence.accidents = vec!["writer-0 panicked".into()];
        assert_eq!(judge(&evidence).wrong, 4);
    }
}

//! O7: strict serialisability. The log is the order; replayed through the model it gives every answer that was given, and what
//! ended before something else began comes before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::{
    Evidence, Verdict,
    known::{Known, decided_at},
};
use crate::{
    history::{Answer, Attempt, Call, Done, Refused, Seen, Work},
    model::{ACCOUNT_ACCESS_DENIED, Account, Command, Fact, Life, Place, Replay, Row, decide},
};

/// Prefixes of the log that are tried for one refusal; with several shards there may be very many.
const PREFIXES_MAX: usize = 20_000;

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for row in evidence.rows() {
        if let Some(command) = row.command() {
            let right = follows_the_rules(evidence, row, &command);
            verdict.judge(right.is_ok(), || format!("{row:?}: {}", right.unwrap_err()));
        }
    }
    let known = Known::of(evidence);
    let rows: HashMap<Uuid, Place> =
        evidence.rows().iter().filter_map(|row| Some((row.request_id?, row.place))).collect();
    for call in &evidence.calls {
        for (shard, least, _, _) in decided_at(call, &rows) {
            let before = known.acknowledged_before(shard, call.began());
            verdict.judge(least > before, || {
                format!(
                    "{} is at {shard}-{least}, but began after {before} was acknowledged",
                    call.request_id
                )
            });
        }
        for attempt in &call.attempts {
            judge_answer(evidence, &known, call, attempt, &mut verdict);
        }
    }
    judge_lanes(evidence, &mut verdict);
    verdict
}

/// Whether the model decides the same on the same accounts.
fn follows_the_rules(evidence: &Evidence, row: &Row, command: &Command) -> Result<(), String> {
    let replay = &evidence.replay;
    let account = replay.before(&row.account, row.place);
    if let Fact::Refused { reason, .. } = &row.fact {
        let candidates = destinations(replay, row.place, command);
        let fits =
            |destination: &Option<&Account>| decide(account, *destination, command) == Err(*reason);
        let right = candidates.iter().any(fits);
        return if right { Ok(()) } else { Err(format!("the rules say otherwise of {account:?}")) };
    }
    let destination = match (command.destination(), row.peer) {
        (Some(to), Some(peer)) => replay.before(to, peer),
        _ => None,
    };
    let after = decide(account, destination, command)
        .map_err(|reason| format!("the rules refuse it with {reason}: {account:?}"))?;
    let is_there = replay.at(&row.account, row.place) == Some(&after.account);
    if is_there { Ok(()) } else { Err(format!("the rules lead to {after:?}")) }
}

/// How the destination may have stood: exactly known within a shard, somehow in another one.
fn destinations<'a>(
    replay: &'a Replay,
    place: Place,
    command: &Command,
) -> Vec<Option<&'a Account>> {
    let Some(life) = command.destination().and_then(|to| replay.lives.get(to)) else {
        return vec![None];
    };
    if life.shard == place.shard {
        return vec![life.at(place.position - 1)];
    }
    let states = life.steps.iter().map(|(_, account)| Some(account));
    std::iter::once(None).chain(states).collect()
}

fn judge_answer(
    evidence: &Evidence,
    known: &Known,
    call: &Call,
    attempt: &Attempt,
    verdict: &mut Verdict,
) {
    let id = call.request_id;
    match &attempt.answer {
        Answer::Applied(done) => {
            for (command, done) in call.work.commands().iter().zip(done) {
                let right = shown_as_it_was(&evidence.replay, command, done);
                verdict.judge(right.is_ok(), || format!("{id}: {}", right.unwrap_err()));
            }
        }
        Answer::Refused(refused) if !refused.is_kept() => {
            // Too many prefixes to try is not a finding, and is not counted as judged either.
            if let Some(right) = was_true_meanwhile(evidence, known, &call.work, attempt, refused) {
                verdict.judge(right, || {
                    format!("{id} ({:?}) was never to be refused so: {attempt:?}", call.work)
                });
            }
        }
        Answer::Refused(_) | Answer::NotApplied { .. } | Answer::Unknown { .. } => {}
    }
}

/// Whether an acknowledgement showed the accounts as the log has them at that place.
fn shown_as_it_was(replay: &Replay, command: &Command, done: &Done) -> Result<(), String> {
    for seen in &done.accounts {
        let life = replay.lives.get(&seen.account).ok_or("an account that is not there")?;
        // Of a transfer within one shard, the destination's row is the one behind.
        let position = match done.places.get(&life.shard) {
            _ if seen.account == command.account => done.position,
            Some(position) => *position,
            None => return Err(format!("{} is not in the token", seen.account)),
        };
        let account = life.at(position).filter(|account| is_shown(account, seen));
        account.ok_or_else(|| {
            format!("{seen:?} was shown, but at {position} is {:?}", life.at(position))
        })?;
        if seen.account == command.account
            && let Some(expected) = command.expected_version
            && expected + 1 != seen.version
        {
            return Err(format!("version {expected} was expected, and {seen:?} came of it"));
        }
    }
    Ok(())
}

fn is_shown(account: &Account, seen: &Seen) -> bool {
    let Account { version, balance, limit, status, .. } = *account;
    (version, balance, limit, status) == (seen.version, seen.balance, seen.limit, seen.status)
}

/// Whether some prefix of the log that may have been all of it between sending and answering gives this refusal. `None`: too many.
fn was_true_meanwhile(
    evidence: &Evidence,
    known: &Known,
    work: &Work,
    attempt: &Attempt,
    refused: &Refused,
) -> Option<bool> {
    let names: BTreeSet<&str> = work
        .commands()
        .iter()
        .flat_map(|command| [Some(command.account.as_str()), command.destination()])
        .flatten()
        .collect();
    // Where the touched accounts change within the window, shard by shard.
    let mut points: BTreeMap<i16, BTreeSet<i64>> = BTreeMap::new();
    for name in &names {
        let Some(life) = evidence.replay.lives.get(*name) else { continue };
        let lower = known.acknowledged_before(life.shard, attempt.sent);
        let upper = known.asked_after(life.shard, attempt.ended).unwrap_or(i64::MAX);
        let of_shard = points.entry(life.shard).or_insert_with(|| [lower].into());
        let within = |position: &i64| *position > lower && *position < upper;
        of_shard.extend(life.steps.iter().map(|(position, _)| *position).filter(within));
    }
    let mut prefixes: Vec<BTreeMap<i16, i64>> = vec![BTreeMap::new()];
    for (shard, positions) in points {
        if prefixes.len() * positions.len() > PREFIXES_MAX {
            return None;
        }
        let longer = |prefix: &BTreeMap<i16, i64>, position: i64| {
            let mut prefix = prefix.clone();
            prefix.insert(shard, position);
            prefix
        };
        prefixes = prefixes
            .iter()
            .flat_map(|prefix| positions.iter().map(move |position| longer(prefix, *position)))
            .collect();
    }
    Some(prefixes.iter().any(|prefix| gives(&evidence.replay, prefix, work, refused)))
}

/// Whether a prefix of the log gives this refusal.
fn gives(replay: &Replay, prefix: &BTreeMap<i16, i64>, work: &Work, refused: &Refused) -> bool {
    if refused.reason == ACCOUNT_ACCESS_DENIED {
        return lacks_an_account(replay, prefix, work);
    }
    let mut changed: BTreeMap<&str, Account> = BTreeMap::new();
    for (index, command) in work.commands().iter().enumerate() {
        let stands = |name: &str| {
            let life = || {
                let life = replay.lives.get(name)?;
                life.at(*prefix.get(&life.shard)?).cloned()
            };
            changed.get(name).cloned().or_else(life)
        };
        let account = stands(&command.account);
        let destination = command.destination().and_then(stands);
        match decide(account.as_ref(), destination.as_ref(), command) {
            Ok(after) => {
                changed.insert(&command.account, after.account);
                if let (Some(to), Some(destination)) = (command.destination(), after.destination) {
                    changed.insert(to, destination);
                }
            }
            Err(reason) => {
                return match &refused.command {
                    Some((at, why)) => (*at, why.as_str()) == (index, reason),
                    None => refused.reason == reason,
                };
            }
        }
    }
    false
}

/// To whoever may not see all accounts, one that is not there is another's, and that comes before every rule.
fn lacks_an_account(replay: &Replay, prefix: &BTreeMap<i16, i64>, work: &Work) -> bool {
    let is_there =
        |life: &Life| prefix.get(&life.shard).is_some_and(|position| life.at(*position).is_some());
    let needs = work.commands().iter().filter(|command| !command.opens());
    let accounts =
        needs.flat_map(|command| [Some(command.account.as_str()), command.destination()]);
    accounts.flatten().any(|name| !replay.lives.get(name).is_some_and(is_there))
}

/// Commands on one account that came in one batch or stream are decided in the order sent.
fn judge_lanes(evidence: &Evidence, verdict: &mut Verdict) {
    let mut lanes: HashMap<(u64, &str), BTreeMap<usize, i64>> = HashMap::new();
    for call in &evidence.calls {
        let Work::One(command) = &call.work else { continue };
        let Some(first) = call.attempts.first() else { continue };
        let (Some((lane, index)), Answer::Applied(done)) = (first.lane, &first.answer) else {
            continue;
        };
        if let Some(done) = done.first().filter(|done| !done.replayed) {
            let places = lanes.entry((lane, &command.account)).or_default();
            places.insert(index, done.position);
        }
    }
    for ((lane, account), places) in lanes {
        let positions: Vec<i64> = places.into_values().collect();
        verdict.judge(positions.is_sorted(), || {
            format!("batch or stream {lane} has its commands on {account} at {positions:?}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::given::{applied, call, refused},
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    fn deposit(amount: i64) -> Command {
        command("a", Doing::Deposit(euros(amount)))
    }

    /// Two deposits, at 5 and 6.
    fn log() -> GivenLog {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, deposit(5).doing);
        log.done("a", 8, deposit(6).doing);
        log
    }

    fn wrong(log: &GivenLog, calls: Vec<Call>) -> u64 {
        judge(&evidence(log, calls)).wrong
    }

    #[test]
    fn answers_in_the_order_of_the_log_are_fine() {
        let calls = vec![
            call(7, deposit(5), 0, 1, applied(5, "a", 3, 105)),
            call(8, deposit(6), 2, 3, applied(6, "a", 4, 111)),
        ];
        assert!(is_content(&judge(&evidence(&log(), calls))));
    }

    #[test]
    fn an_order_against_time_is_noticed() {
        let later = |sent| {
            vec![
                call(7, deposit(5), sent, sent + 1, applied(5, "a", 3, 105)),
                call(8, deposit(6), 0, 1, applied(6, "a", 4, 111)),
            ]
        };
        assert_eq!(wrong(&log(), later(2)), 1);
        assert_eq!(wrong(&log(), later(1)), 0, "they overlap");
    }

    #[test]
    fn an_answer_of_another_state_is_noticed() {
        let call = call(7, deposit(5), 0, 1, applied(5, "a", 3, 106));
        assert_eq!(wrong(&log(), vec![call]), 1);
    }

    #[test]
    fn an_expected_version_that_was_not_met_is_noticed() {
        let mut expecting = deposit(5);
        expecting.expected_version = Some(1);
        let call = call(7, expecting, 0, 1, applied(5, "a", 3, 105));
        assert_eq!(wrong(&log(), vec![call]), 1);
    }

    #[test]
    fn a_row_that_the_rules_would_refuse_is_noticed_and_a_refusal_that_they_would_not_too() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Withdraw(euros(101)));
        assert_eq!(wrong(&log, Vec::new()), 1);
        let mut log = GivenLog::two_accounts();
        log.refused(7, command("a", Doing::Withdraw(euros(100))), "INSUFFICIENT_FUNDS");
        assert_eq!(wrong(&log, Vec::new()), 1);
    }

    #[test]
    fn not_found_is_true_only_while_it_was_not_there() {
        let mut log = log();
        let (owner, currency) = ("owner".into(), "EUR".into());
        let open = Doing::Open { owner, currency, limit: 0 };
        log.done("c", 9, open.clone());
        let opened = call(9, command("c", open), 10, 20, applied(7, "c", 1, 0));
        let asked = |sent, ended| {
            let command = command("c", Doing::Close);
            call(10, command, sent, ended, refused("ACCOUNT_NOT_FOUND"))
        };
        assert_eq!(wrong(&log, vec![opened.clone(), asked(15, 30)]), 0, "it was under way");
        assert_eq!(wrong(&log, vec![opened.clone(), asked(21, 30)]), 1, "it was there");
        assert_eq!(wrong(&log, vec![opened, asked(0, 5)]), 0);
    }

    #[test]
    fn denied_is_true_only_while_some_account_was_not_there() {
        let mut log = log();
        let (owner, currency) = ("owner".into(), "EUR".into());
        let open = Doing::Open { owner, currency, limit: 0 };
        log.done("c", 9, open.clone());
        let opened = call(9, command("c", open), 10, 20, applied(7, "c", 1, 0));
        let denied = |command, sent| call(10, command, sent, 30, refused(ACCOUNT_ACCESS_DENIED));
        let to = |to: &str| Doing::Transfer { to: to.into(), sum: euros(1) };
        for (command, sent, right) in [
            (command("c", Doing::Close), 15, true),
            (command("c", Doing::Close), 21, false),
            (command("a", to("c")), 15, true),
            (command("a", to("c")), 21, false),
            (command("a", to("nobody")), 21, true),
            (command("nobody", Doing::Close), 21, true),
        ] {
            let calls = vec![opened.clone(), denied(command, sent)];
            assert_eq!(wrong(&log, calls), u64::from(!right));
        }
    }

    #[test]
    fn a_refused_batch_is_judged_by_what_its_commands_would_do_one_after_another() {
        let commands = vec![deposit(1), command("a", Doing::Withdraw(euros(101)))];
        let refusal = |index| {
            let Answer::Refused(refused) = refused("BATCH_REFUSED") else { unreachable!() };
            Answer::Refused(Refused {
                command: Some((index, "INSUFFICIENT_FUNDS".into())),
                ..refused
            })
        };
        let mut log = GivenLog::two_accounts();
        // Something acknowledged before it, so that no earlier prefix can be meant.
        let other = command("b", Doing::Deposit(euros(1)));
        log.done("b", 9, other.doing.clone());
        let before = call(9, other, 0, 1, applied(5, "b", 3, 101));
        for (last, right) in [(101, false), (102, true)] {
            let mut commands = commands.clone();
            commands[1].doing = Doing::Withdraw(euros(last));
            let mut call = call(7, deposit(1), 2, 3, refusal(1));
            call.work = Work::Atomic(commands);
            assert_eq!(wrong(&log, vec![before.clone(), call]), u64::from(!right), "{last}");
        }
    }

    #[test]
    fn commands_that_overtake_each_other_in_a_stream_are_noticed() {
        let calls = |first, second| {
            let mut calls = vec![
                call(7, deposit(5), 0, 9, applied(5, "a", 3, 105)),
                call(8, deposit(6), 0, 9, applied(6, "a", 4, 111)),
            ];
            calls[0].attempts[0].lane = Some((1, first));
            calls[1].attempts[0].lane = Some((1, second));
            calls
        };
        assert_eq!(wrong(&log(), calls(0, 1)), 0);
        assert_eq!(wrong(&log(), calls(1, 0)), 1);
    }
}

//! O9: every answer of a read equals the log at the prefix it names, is never ahead of the log, and is as fresh as was asked.

use std::{collections::BTreeMap, time::Duration};

use super::{Evidence, Verdict, known::Known, sums::SumsAt};
use crate::{
    history::{AsOf, Found, Freshness, Moment, Read, ReadAnswer, Seen},
    model::Account,
    traffic::is_everybodys,
};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let (known, sums) = (Known::of(evidence), SumsAt::of(evidence));
    let mut verdict = Verdict::default();
    for read in &evidence.reads {
        let right = match &read.answer {
            ReadAnswer::Found { as_of, staleness, found } => {
                is_fresh(evidence, &known, read, as_of, *staleness).and_then(|()| {
                    if touches_tampered(evidence, read, found) {
                        return Ok(());
                    }
                    equals_the_log(evidence, &sums, as_of, found)
                })
            }
            ReadAnswer::Missing { account, as_of } => was_missing(evidence, read, account, as_of),
            ReadAnswer::NoTransaction { place, as_of } => was_no_transaction(*place, as_of),
            ReadAnswer::Failed { .. } => continue,
        };
        verdict.judge(right.is_ok(), || {
            format!(
                "reader {} at {:?}: {}: {:?}",
                read.reader,
                read.sent,
                right.unwrap_err(),
                read.answer
            )
        });
    }
    judge_order(evidence, &mut verdict);
    verdict
}

fn is_fresh(
    evidence: &Evidence,
    known: &Known,
    read: &Read,
    as_of: &AsOf,
    staleness: Option<Duration>,
) -> Result<(), String> {
    if as_of.log_id != evidence.log.log_id {
        return Err("another log".into());
    }
    for (shard, position) in &as_of.positions {
        let head = evidence.replay.heads.get(shard).copied().unwrap_or_default();
        if *position > head {
            return Err(format!("{position} is ahead of the log, which ends at {head}"));
        }
        if let Some(later) = known.asked_after(*shard, read.ended)
            && *position >= later
        {
            return Err(format!("{position} was read before {later} was asked for"));
        }
        if let Some(ago) = staleness {
            // All of the log was there so long ago: then also all that had been acknowledged by then.
            let then = read.sent.saturating_sub(ago + evidence.staleness_slack);
            let acknowledged = known.acknowledged_before(*shard, then);
            if *position < acknowledged {
                return Err(format!(
                    "{position} was all of the log {ago:?} ago, but {acknowledged} was acknowledged"
                ));
            }
        }
    }
    match &read.asked {
        Freshness::Any => Ok(()),
        Freshness::Token(asked) => {
            let reached = |(shard, position): (&i16, &i64)| {
                as_of.positions.get(shard).is_none_or(|reached| reached >= position)
            };
            if asked.iter().all(reached) { Ok(()) } else { Err(format!("{asked:?} was asked for")) }
        }
        Freshness::Staleness(most) if staleness.is_some_and(|ago| ago <= *most) => Ok(()),
        Freshness::Staleness(most) => Err(format!("at most {most:?} was asked for: {staleness:?}")),
    }
}

fn touches_tampered(evidence: &Evidence, read: &Read, found: &Found) -> bool {
    let names: Vec<&str> = match found {
        // One that was deleted by hand is not named.
        Found::OfOwner(_) => {
            let touched = evidence.tampered.iter().map(|(account, ..)| account.as_str());
            touched.filter(|name| is_everybodys(name)).collect()
        }
        Found::Balances(balances) => balances.iter().map(|(name, ..)| name.as_str()).collect(),
        Found::Account(seen) => vec![&seen.account],
        Found::Statement { account, .. } | Found::Transaction { account, .. } => vec![account],
        Found::Totals(_) => Vec::new(),
    };
    names.iter().any(|name| is_tampered(evidence, read, name))
}

fn is_tampered(evidence: &Evidence, read: &Read, name: &str) -> bool {
    let overlaps = |from: Moment, until: Moment| read.ended >= from && read.sent <= until;
    evidence
        .tampered
        .iter()
        .any(|(account, from, until)| account == name && overlaps(*from, *until))
}

fn equals_the_log(
    evidence: &Evidence,
    sums: &SumsAt,
    as_of: &AsOf,
    found: &Found,
) -> Result<(), String> {
    match found {
        Found::Balances(balances) => balances.iter().try_for_each(|(name, version, balance)| {
            let account = account_at(evidence, as_of, name)?;
            let right = (account.version, account.balance) == (*version, *balance);
            if right { Ok(()) } else { Err(format!("{name} is {account:?} there")) }
        }),
        Found::Account(seen) => shown_as_it_is(evidence, as_of, seen),
        Found::OfOwner(all) => {
            all.iter().try_for_each(|seen| shown_as_it_is(evidence, as_of, seen))?;
            let is_there = |name: &&String| account_at(evidence, as_of, name).is_ok();
            let owned = evidence.replay.lives.keys().filter(|name| is_everybodys(name));
            let expected: Vec<&String> = owned.filter(is_there).collect();
            let right = all.iter().map(|seen| &seen.account).eq(expected.iter().copied());
            if right { Ok(()) } else { Err(format!("there are {expected:?}")) }
        }
        Found::Transaction { account, entry } => {
            let now = account_at(evidence, as_of, account)?;
            let mut steps = evidence.replay.lives[account].steps.iter().map(|(_, state)| state);
            let is_it = |state: &Account| (state.version, state.balance) == *entry;
            let right = steps.any(is_it) && entry.0 <= now.version;
            if right { Ok(()) } else { Err(format!("{account} is at {now:?} there")) }
        }
        Found::Statement { account, most, entries } => {
            let now = account_at(evidence, as_of, account)?;
            let life = &evidence.replay.lives[account];
            let expected: Vec<(i64, i64)> = life
                .steps
                .windows(2)
                .filter(|pair| pair[0].1.balance != pair[1].1.balance)
                .map(|pair| (pair[1].1.version, pair[1].1.balance))
                .filter(|(version, _)| *version <= now.version)
                .collect();
            let expected: Vec<_> = expected.into_iter().rev().take(*most).collect();
            let right = expected == *entries;
            if right { Ok(()) } else { Err(format!("the statement begins with {expected:?}")) }
        }
        Found::Totals(totals) => {
            let expected = sums.at(as_of);
            let right = expected == totals.iter().cloned().map(|(c, n, s)| (c, (n, s))).collect();
            if right { Ok(()) } else { Err(format!("the totals are {expected:?}")) }
        }
    }
}

fn shown_as_it_is(evidence: &Evidence, as_of: &AsOf, seen: &Seen) -> Result<(), String> {
    let account = account_at(evidence, as_of, &seen.account)?;
    let Account { version, balance, limit, status, .. } = *account;
    let right =
        (version, balance, limit, status) == (seen.version, seen.balance, seen.limit, seen.status);
    if right { Ok(()) } else { Err(format!("{} is {account:?} there", seen.account)) }
}

/// Its place has to be beyond what was there.
fn was_no_transaction((shard, position): (i16, i64), as_of: &Option<AsOf>) -> Result<(), String> {
    let as_of = as_of.as_ref().ok_or("it does not say where it looked")?;
    let reached = as_of.positions.get(&shard).ok_or("its shard is not named")?;
    if *reached < position { Ok(()) } else { Err(format!("{shard}-{position} is there")) }
}

fn account_at<'a>(evidence: &'a Evidence, as_of: &AsOf, name: &str) -> Result<&'a Account, String> {
    let life = evidence.replay.lives.get(name).ok_or_else(|| format!("{name} never was"))?;
    let position = as_of.positions.get(&life.shard).ok_or("its shard is not named")?;
    life.at(*position).ok_or_else(|| format!("{name} was not opened then"))
}

fn was_missing(
    evidence: &Evidence,
    read: &Read,
    account: &str,
    as_of: &Option<AsOf>,
) -> Result<(), String> {
    let as_of = as_of.as_ref().ok_or("it does not say where it looked")?;
    if is_tampered(evidence, read, account) {
        return Ok(());
    }
    if let Freshness::Token(asked) = &read.asked {
        let short = |(shard, position): (&i16, &i64)| {
            as_of.positions.get(shard).is_some_and(|reached| reached < position)
        };
        if asked.iter().any(short) {
            return Err(format!("{asked:?} was asked for"));
        }
    }
    match account_at(evidence, as_of, account) {
        Ok(found) => Err(format!("it is {found:?} there")),
        Err(_) => Ok(()),
    }
}

/// A server never includes less than it did before, view by view.
fn judge_order(evidence: &Evidence, verdict: &mut Verdict) {
    type Key = (usize, u64, &'static str, i16);
    let mut answers: BTreeMap<Key, Vec<(Moment, Moment, i64)>> = BTreeMap::new();
    for read in &evidence.reads {
        if let (Some(life), ReadAnswer::Found { as_of, found, .. }) = (read.life, &read.answer) {
            for (shard, position) in &as_of.positions {
                let key = (read.reader, life, found.view(), *shard);
                answers.entry(key).or_default().push((read.ended, read.sent, *position));
            }
        }
    }
    for ((reader, _, view, shard), mut answers) in answers {
        answers.sort_unstable();
        let mut highest = Vec::with_capacity(answers.len());
        for (ended, _, position) in &answers {
            let before = highest.last().map_or(0, |(_, highest)| *highest);
            highest.push((*ended, before.max(*position)));
        }
        for (_, sent, position) in &answers {
            let earlier = highest.partition_point(|(ended, _)| ended < sent);
            let floor = earlier.checked_sub(1).map_or(0, |last| highest[last].1);
            verdict.judge(*position >= floor, || {
                format!("reader {reader} answered {view} of shard {shard} at {position} after {floor} ({sent:?})")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::given::{applied, as_of, call, ms},
        model::{
            Doing, Status,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    fn read(position: i64, found: Found) -> Read {
        Read {
            reader: 0,
            life: Some(0),
            sent: ms(100),
            ended: ms(110),
            asked: Freshness::Any,
            answer: ReadAnswer::Found { as_of: as_of(position), staleness: None, found },
        }
    }

    fn balance(version: i64, balance: i64) -> Found {
        Found::Balances(vec![("a".into(), version, balance)])
    }

    fn wrong(reads: Vec<Read>) -> u64 {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Deposit(euros(5)));
        let deposit = command("a", Doing::Deposit(euros(5)));
        let mut evidence = evidence(&log, vec![call(7, deposit, 0, 10, applied(5, "a", 3, 105))]);
        evidence.reads = reads;
        judge(&evidence).wrong
    }

    #[test]
    fn what_the_log_says_at_that_prefix_is_fine() {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 30);
        let mut evidence = evidence(&log, Vec::new());
        let totals = vec![("EUR".to_owned(), 2, [200, 0, 170, 30])];
        evidence.reads = vec![
            read(4, balance(2, 100)),
            read(5, balance(3, 70)),
            read(5, Found::Totals(totals)),
            read(
                6,
                Found::Statement {
                    account: "a".into(),
                    most: 10,
                    entries: vec![(3, 70), (2, 100)],
                },
            ),
        ];
        assert!(is_content(&judge(&evidence)), "{:?}", judge(&evidence));
    }

    #[test]
    fn an_answer_that_the_log_contradicts_is_noticed() {
        assert_eq!(wrong(vec![read(5, balance(3, 104))]), 1);
        assert_eq!(wrong(vec![read(5, balance(2, 100))]), 1, "right, but not at that prefix");
        assert_eq!(wrong(vec![read(6, balance(3, 105))]), 1, "ahead of the log");
        let statement = Found::Statement { account: "a".into(), most: 10, entries: vec![(2, 100)] };
        assert_eq!(wrong(vec![read(5, statement)]), 1);
    }

    #[test]
    fn a_list_or_a_statement_that_lacks_something_is_noticed() {
        let seen = |account: &str, version, balance| {
            let (account, limit, status) = (account.into(), 0, Status::Open);
            Seen { account, version, balance, limit, status }
        };
        let (a, b) = (seen("a", 3, 105), seen("b", 2, 100));
        assert_eq!(wrong(vec![read(5, Found::OfOwner(vec![a.clone(), b]))]), 0);
        assert_eq!(wrong(vec![read(5, Found::OfOwner(vec![a.clone()]))]), 1);
        assert_eq!(
            wrong(vec![read(2, Found::OfOwner(vec![seen("a", 2, 100)]))]),
            0,
            "b came later"
        );
        assert_eq!(wrong(vec![read(5, Found::OfOwner(vec![a, seen("b", 2, 1)]))]), 1);
        let newest = |entries| Found::Statement { account: "a".into(), most: 1, entries };
        assert_eq!(wrong(vec![read(5, newest(vec![(3, 105)]))]), 0);
        assert_eq!(wrong(vec![read(5, newest(vec![(2, 100)]))]), 1);
        assert_eq!(wrong(vec![read(5, newest(Vec::new()))]), 1);
    }

    #[test]
    fn a_transaction_that_never_was_or_is_said_to_be_missing_is_noticed() {
        let found = |entry| Found::Transaction { account: "a".into(), entry };
        assert_eq!(wrong(vec![read(5, found((3, 105)))]), 0);
        assert_eq!(wrong(vec![read(5, found((3, 104)))]), 1);
        assert_eq!(wrong(vec![read(4, found((3, 105)))]), 1, "it was not there yet");
        let missing = |at| {
            let mut read = read(1, balance(0, 0));
            read.answer = ReadAnswer::NoTransaction { place: (0, 5), as_of: Some(as_of(at)) };
            read
        };
        assert_eq!(wrong(vec![missing(4)]), 0);
        assert_eq!(wrong(vec![missing(5)]), 1);
    }

    #[test]
    fn what_was_read_before_it_was_asked_for_is_noticed() {
        let early = |ended| {
            let mut read = read(5, balance(3, 105));
            (read.sent, read.ended) = (ms(0), ms(ended));
            read
        };
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Deposit(euros(5)));
        let deposit = command("a", Doing::Deposit(euros(5)));
        let mut evidence = evidence(&log, vec![call(7, deposit, 50, 60, applied(5, "a", 3, 105))]);
        evidence.reads = vec![early(55)];
        assert_eq!(judge(&evidence).wrong, 0);
        evidence.reads = vec![early(45)];
        assert_eq!(judge(&evidence).wrong, 1);
    }

    #[test]
    fn an_account_that_is_said_to_be_missing_is_noticed() {
        let missing = |at| {
            let mut read = read(1, balance(0, 0));
            read.answer = ReadAnswer::Missing { account: "b".into(), as_of: Some(as_of(at)) };
            read
        };
        assert_eq!(wrong(vec![missing(2)]), 0);
        assert_eq!(wrong(vec![missing(3)]), 1);
    }

    #[test]
    fn a_token_or_a_staleness_that_is_not_honoured_is_noticed() {
        let mut with_token = read(4, balance(2, 100));
        with_token.asked = Freshness::Token([(0, 5)].into());
        assert_eq!(wrong(vec![with_token]), 1);
        let stale = |ago, most| {
            let mut read = read(4, balance(2, 100));
            read.asked = Freshness::Staleness(ms(most));
            read.answer = ReadAnswer::Found {
                as_of: as_of(4),
                staleness: Some(ms(ago)),
                found: balance(2, 100),
            };
            read
        };
        assert_eq!(wrong(vec![stale(95, 95)]), 0, "position 5 was acknowledged 90 ms before");
        assert_eq!(wrong(vec![stale(95, 94)]), 1, "more than asked for");
        assert_eq!(wrong(vec![stale(50, 95)]), 1, "position 5 was there 50 ms before");
    }

    #[test]
    fn a_server_that_goes_back_is_noticed() {
        let mut first = read(5, balance(3, 105));
        (first.sent, first.ended) = (ms(50), ms(60));
        let later = read(4, balance(2, 100));
        assert_eq!(wrong(vec![first.clone(), later.clone()]), 1);
        first.ended = ms(105);
        assert_eq!(wrong(vec![first.clone(), later.clone()]), 0, "they overlap");
        (first.ended, first.life) = (ms(60), Some(1));
        assert_eq!(wrong(vec![first, later]), 0, "another process");
    }
}

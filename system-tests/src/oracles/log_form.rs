//! O6: positions and versions without a hole, times that never decrease, chains that verify, states that follow from events.

use std::collections::HashMap;

use super::{Evidence, Verdict};
use crate::model::{Account, Fact, Stated};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let broken = evidence.log.broken.as_ref();
    verdict.judge(broken.is_none(), || format!("the chains: {}", broken.map_or("", |b| b)));
    for (place, why) in &evidence.replay.impossible {
        verdict.judge(false, || format!("{place}: {why}"));
    }
    let mut last: HashMap<i16, (i64, i64)> = HashMap::new();
    for row in evidence.rows() {
        let (position, recorded_at) = last.get(&row.place.shard).copied().unwrap_or((0, i64::MIN));
        verdict.judge(row.place.position == position + 1, || {
            format!("{} follows position {position}", row.place)
        });
        verdict.judge(row.recorded_at >= recorded_at, || {
            format!("{} was recorded before the row before it", row.place)
        });
        last.insert(row.place.shard, (row.place.position, row.recorded_at));
        // A refusal moves nothing, and so states the account as it was.
        let account = evidence.replay.at(&row.account, row.place);
        verdict.judge(account.is_some_and(|account| states(&row.stated, account)), || {
            format!("{row:?} does not follow: replayed, the account is {account:?}")
        });
        let moves = !matches!(row.fact, Fact::Refused { .. });
        let before = evidence.replay.before(&row.account, row.place);
        let version = before.map_or(0, |before| before.version) + i64::from(moves);
        verdict.judge(row.stated.version == version, || {
            format!("{} is version {}, not {version}", row.place, row.stated.version)
        });
    }
    verdict
}

fn states(stated: &Stated, account: &Account) -> bool {
    let Stated { version, balance, held, limit, status } = *stated;
    (version, balance, limit, status)
        == (account.version, account.balance, account.limit, account.status)
        && held == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            Doing,
            given::{command, euros},
            given_log::GivenLog,
        },
        oracles::given::{evidence, is_content},
    };

    fn log() -> GivenLog {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 30);
        log.refused(8, command("a", Doing::Withdraw(euros(500))), "INSUFFICIENT_FUNDS");
        log
    }

    #[test]
    fn a_whole_log_is_fine() {
        assert!(is_content(&judge(&evidence(&log(), Vec::new()))));
    }

    #[test]
    fn every_kind_of_damage_is_noticed() {
        let damages: [fn(&mut GivenLog); 5] = [
            |log| drop(log.0.remove(1)),
            |log| log.0.swap(3, 4),
            |log| log.0[4].stated.balance += 1,
            |log| log.0[5].recorded_at = 0,
            // A refusal that moves the version.
            |log| log.0[6].stated.version += 1,
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let mut log = log();
            damage(&mut log);
            assert!(judge(&evidence(&log, Vec::new())).wrong > 0, "damage {number}");
        }
        let mut broken = evidence(&log(), Vec::new());
        broken.log.broken = Some("position 3: the digest does not fit".into());
        assert_eq!(judge(&broken).wrong, 1);
    }
}

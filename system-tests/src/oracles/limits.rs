//! O5: replayed, no account is ever below its limit, and money is neither made nor lost.

use std::collections::BTreeMap;

use super::{Evidence, Verdict};
use crate::model::{Doing, Fact};

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, life) in &evidence.replay.lives {
        for (position, account) in &life.steps {
            let keeps = i128::from(account.balance) >= -i128::from(account.limit);
            verdict.judge(keeps, || format!("{name} is at {account:?} from {position} on"));
        }
    }
    let mut came_in: BTreeMap<&str, i128> = BTreeMap::new();
    for row in evidence.rows() {
        match &row.fact {
            Fact::Done(Doing::Deposit(sum)) => {
                *came_in.entry(&sum.currency).or_default() += i128::from(sum.amount);
            }
            Fact::Done(Doing::Withdraw(sum) | Doing::PayBill(sum)) => {
                *came_in.entry(&sum.currency).or_default() -= i128::from(sum.amount);
            }
            _ => {}
        }
    }
    // What the rows state, not what the replay says: that would be the same sum twice.
    let mut there: BTreeMap<&str, BTreeMap<&str, i128>> = BTreeMap::new();
    for row in evidence.rows() {
        if let Some(life) = evidence.replay.lives.get(&row.account)
            && let Some((_, account)) = life.steps.first()
        {
            let balances = there.entry(&account.currency).or_default();
            balances.insert(&row.account, i128::from(row.stated.balance));
        }
    }
    for (currency, balances) in there {
        let sum: i128 = balances.values().sum();
        let came_in = came_in.get(currency).copied().unwrap_or_default();
        verdict.judge(sum == came_in, || {
            format!("{came_in} {currency} came in, but all balances together are {sum}")
        });
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{given::euros, given_log::GivenLog},
        oracles::given::{evidence, is_content},
    };

    #[test]
    fn money_that_only_moves_is_fine() {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 100);
        log.done("b", 8, Doing::PayBill(euros(200)));
        assert!(is_content(&judge(&evidence(&log, Vec::new()))));
    }

    #[test]
    fn an_account_below_its_limit_is_noticed_also_if_it_recovers() {
        let mut log = GivenLog::two_accounts();
        log.done("a", 7, Doing::Withdraw(euros(101)));
        log.done("a", 8, Doing::Deposit(euros(50)));
        assert_eq!(judge(&evidence(&log, Vec::new())).wrong, 1);
    }

    #[test]
    fn money_that_is_made_is_noticed() {
        let mut log = GivenLog::two_accounts();
        log.0[3].stated.balance += 1;
        assert_eq!(judge(&evidence(&log, Vec::new())).wrong, 1);
    }
}

//! The sums of the whole log, at every position that somebody read them at: worked out once, in one pass of each shard.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Evidence;
use crate::{
    history::{AsOf, Found, ReadAnswer},
    model::{Doing, Fact, Row},
};

/// Per currency: accounts, and what came in, went out, is there and is under way.
pub(super) type Sums = BTreeMap<String, (i64, [i128; 4])>;

/// The sums of one shard, by shard and position.
pub(super) struct SumsAt(HashMap<(i16, i64), Sums>);

impl SumsAt {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut asked: BTreeMap<i16, BTreeSet<i64>> = BTreeMap::new();
        for read in &evidence.reads {
            if let ReadAnswer::Found { as_of, found: Found::Totals(_), .. } = &read.answer {
                for (shard, position) in &as_of.positions {
                    asked.entry(*shard).or_default().insert(*position);
                }
            }
        }
        let mut all = HashMap::new();
        for (shard, positions) in asked {
            let rows = evidence.rows().iter().filter(|row| row.place.shard == shard);
            let mut rows = rows.peekable();
            let mut sums = Sums::new();
            for position in positions {
                while let Some(row) = rows.next_if(|row| row.place.position <= position) {
                    add(evidence, row, &mut sums);
                }
                all.insert((shard, position), sums.clone());
            }
        }
        Self(all)
    }

    /// All shards together.
    pub(super) fn at(&self, as_of: &AsOf) -> Sums {
        let mut together = Sums::new();
        for place in &as_of.positions {
            for (currency, (accounts, sums)) in
                self.0.get(&(*place.0, *place.1)).into_iter().flatten()
            {
                let all = together.entry(currency.clone()).or_default();
                all.0 += accounts;
                all.1.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            }
        }
        together
    }
}

fn add(evidence: &Evidence, row: &Row, sums: &mut Sums) {
    let Some(account) = evidence.replay.at(&row.account, row.place) else { return };
    let of_currency = sums.entry(account.currency.clone()).or_default();
    let (accounts, [came_in, went_out, there, under_way]) = of_currency;
    match &row.fact {
        Fact::Done(Doing::Open { .. }) => *accounts += 1,
        Fact::Done(Doing::Deposit(sum)) => {
            *came_in += i128::from(sum.amount);
            *there += i128::from(sum.amount);
        }
        Fact::Done(Doing::Withdraw(sum) | Doing::PayBill(sum)) => {
            *went_out += i128::from(sum.amount);
            *there -= i128::from(sum.amount);
        }
        Fact::Done(Doing::Transfer { sum, .. }) => {
            *there -= i128::from(sum.amount);
            *under_way += i128::from(sum.amount);
        }
        Fact::Received { sum, .. } => {
            *there += i128::from(sum.amount);
            *under_way -= i128::from(sum.amount);
        }
        _ => {}
    }
}

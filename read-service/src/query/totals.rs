//! The trial balance over all shards.

use std::collections::BTreeMap;

use ledger::{Currency, Shard};
use read_model::{CurrencyTotals, View};

use super::{Answer, Call, Queries};
use crate::error::{QueryError, StoreFault};
use crate::store::{Reading, within};

/// All money of one currency, over all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) accounts: i64,
    pub(crate) deposits: i128,
    pub(crate) withdrawals: i128,
    pub(crate) balances: i128,
    /// Sent less received. Not zero while one shard includes a side of a transfer that another does not yet.
    pub(crate) in_transit: i128,
}

impl Totals {
    /// Whether all that came in is still there or has gone out.
    pub(crate) fn is_balanced(&self) -> bool {
        self.deposits - self.withdrawals == self.balances + self.in_transit
    }

    /// Sums of `i64` do not come near the end of an `i128` in any log that fits on a disk.
    fn add(&mut self, shard: &CurrencyTotals) {
        self.accounts += shard.accounts;
        self.deposits += shard.deposits;
        self.withdrawals += shard.withdrawals;
        self.balances += shard.balances;
        self.in_transit += shard.sent - shard.received;
    }
}

impl Queries {
    /// The trial balance, by currency.
    pub(crate) async fn totals(
        &self,
        call: &Call<'_>,
    ) -> Result<Answer<BTreeMap<Currency, Totals>>, QueryError> {
        let read = |shard| self.shard_totals(shard);
        let answer =
            self.answer(call, View::Totals, || self.read_shards(call.log.shards, read)).await?;
        Ok(answer.map(sum))
    }

    async fn shard_totals(&self, shard: Shard) -> Result<Reading<Vec<CurrencyTotals>>, StoreFault> {
        within(self.read_limit, self.reader.totals(shard)).await.map(Reading::from)
    }
}

fn sum(shards: Vec<Vec<CurrencyTotals>>) -> BTreeMap<Currency, Totals> {
    let mut sums: BTreeMap<Currency, Totals> = BTreeMap::new();
    for totals in shards.iter().flatten() {
        sums.entry(totals.currency).or_default().add(totals);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(sent: i128, received: i128, balances: i128) -> Vec<CurrencyTotals> {
        let currency = Currency::new("EUR").unwrap();
        let (accounts, deposits, withdrawals) = (1, 100, 20);
        vec![CurrencyTotals { currency, accounts, deposits, withdrawals, sent, received, balances }]
    }

    #[test]
    fn money_on_its_way_between_shards_is_neither_lost_nor_counted_twice() {
        let sums = sum(vec![shard(30, 0, 50), shard(0, 10, 90)]);
        let eur = &sums[&Currency::new("EUR").unwrap()];
        assert_eq!((eur.accounts, eur.in_transit, eur.balances), (2, 20, 140));
        assert!(eur.is_balanced());
    }

    #[test]
    fn money_from_nowhere_shows() {
        let sums = sum(vec![shard(0, 0, 81)]);
        assert!(!sums[&Currency::new("EUR").unwrap()].is_balanced());
    }
}

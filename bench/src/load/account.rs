//! The accounts of a benchmark, and picking among them.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// The id of the account with a number.
pub(crate) fn account_id(number: u32) -> String {
    format!("a{number:08}")
}

/// What acknowledged commands have moved, by account.
#[derive(Clone)]
pub(super) struct Acknowledged(Arc<Vec<AtomicI64>>);

impl Acknowledged {
    pub(super) fn new(accounts: u32) -> Self {
        Self(Arc::new((0..accounts).map(|_| AtomicI64::new(0)).collect()))
    }

    pub(super) fn add(&self, account: u32, amount: i64) {
        if let Some(sum) = usize::try_from(account).ok().and_then(|index| self.0.get(index)) {
            sum.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// The accounts that were touched.
    pub(super) fn list(&self) -> Vec<(u32, i64)> {
        let sums =
            (0..).zip(self.0.iter()).map(|(account, sum)| (account, sum.load(Ordering::Relaxed)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}

/// A cheap source of numbers. Every load generator begins elsewhere, so that no two runs are the same.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let (seed, _) = uuid::Uuid::now_v7().as_u64_pair();
        let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ random | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half times the range: no division, and as even as anybody needs.
        let scaled = ((self.0 >> 32) * u64::from(sides)) >> 32;
        u32::try_from(scaled).unwrap_or(0) // below `sides`
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_side_of_the_dice_comes_up_about_as_often() {
        let mut dice = Dice::new();
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[usize::try_from(dice.roll(10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_acknowledged_adds_up_by_account() {
        let acknowledged = Acknowledged::new(3);
        acknowledged.add(2, 5);
        acknowledged.add(2, 6);
        acknowledged.add(0, 1);
        acknowledged.add(0, -1);
        assert_eq!(acknowledged.list(), [(2, 11)]);
    }
}

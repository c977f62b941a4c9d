//! Numbers that are the same for the same seed, so that a run can be run again.

use std::time::Duration;

/// A source of numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other dice, whose rolls do not depend on how often these are rolled.
    #[must_use]
    pub fn of(&self, purpose: u64) -> Self {
        let mut other = Self(self.0 ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        other.next();
        other
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    /// Whether something that happens so often out of a hundred times happens now.
    pub fn percent(&mut self, of_a_hundred: u64) -> bool {
        self.roll(100) < of_a_hundred
    }

    /// A time from `least` to `most`.
    pub fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        least + Duration::from_micros(self.roll(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = self.roll(items.len() as u64);
        &items[usize::try_from(place).expect("below a length")]
    }

    /// An index below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).expect("below a count")
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            (0..100).map(|_| dice.roll(1000)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
    }

    #[test]
    fn other_dice_do_not_disturb_these() {
        let mut dice = Dice::new(7);
        let first = dice.of(1).roll(1 << 40);
        assert_ne!(first, dice.of(2).roll(1 << 40));
        assert_eq!(first, dice.of(1).roll(1 << 40));
        dice.roll(2);
    }
}

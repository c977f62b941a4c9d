//! How long those without a place are told to wait: so long that refusing them, again and again, costs little beside the
//! work that is done.

use std::time::{Duration, Instant};

/// A full queue is empty again in less.
pub(crate) const SHORTEST: Duration = Duration::from_millis(50);
/// Longer would be a wait in vain for many, when the crowd has gone.
const LONGEST: Duration = Duration::from_secs(5);
/// For how many commands served one may be refused. A refusal costs about a third of what serving costs.
const SERVED_PER_REFUSED: f64 = 8.0;
/// How many times more than before may be told at once, or less: those who wait were told something else.
const STEP: f64 = 2.0;

/// What was served and refused of late, and what follows for the next who is refused.
#[derive(Debug)]
pub(super) struct Patience {
    delay: Duration,
    since: Instant,
    served: u32,
    refused: u32,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self { delay: SHORTEST, since: now, served: 0, refused: 0 }
    }

    /// So many commands had their places.
    pub(super) fn serve(&mut self, commands: usize) {
        self.served = add(self.served, commands);
    }

    /// What a caller is told whose commands are refused. No two in a row are told the same, or they would come back
    /// all at once.
    pub(super) fn refuse(&mut self, commands: usize, now: Instant) -> Duration {
        // Whoever was told to wait comes back after that: before, nothing is known of what it did.
        let passed = now.saturating_duration_since(self.since);
        if passed >= 2 * self.delay {
            self.learn(passed);
            (self.since, self.served, self.refused) = (now, 0, 0);
        }
        self.refused = add(self.refused, commands);
        /// The fractions of its multiples are spread evenly, wherever one stops.
        const GOLDEN_RATIO: f64 = 1.618_033_988_75;
        self.delay.mul_f64(0.75 + (f64::from(self.refused) * GOLDEN_RATIO).fract() / 2.0)
    }

    /// As many come back each second as wait, divided by how long: so what is told grows with how many wait.
    fn learn(&mut self, passed: Duration) {
        if passed >= 4 * self.delay {
            self.delay = SHORTEST; // nobody came for as long again: whoever waited has gone
            return;
        }
        let too_many = f64::from(self.refused) * SERVED_PER_REFUSED / f64::from(self.served.max(1));
        self.delay = self.delay.mul_f64(too_many.clamp(1.0 / STEP, STEP)).clamp(SHORTEST, LONGEST);
    }
}

fn add(sum: u32, more: usize) -> u32 {
    sum.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers who wait as they are told and ask again, beside ten commands served in each millisecond: what they are told
    /// at last, and how many come in the last second.
    fn crowd(
        patience: &mut Patience,
        begun: Instant,
        callers: u32,
        seconds: u32,
    ) -> (Duration, u32) {
        let mut back = vec![begun; callers as usize];
        let (mut told, mut came) = (Duration::ZERO, 0);
        for millisecond in 0..seconds * 1_000 {
            let now = begun + Duration::from_millis(millisecond.into());
            patience.serve(10);
            for back in back.iter_mut().filter(|back| **back <= now) {
                told = patience.refuse(1, now);
                *back = now + told;
                came += u32::from(millisecond >= (seconds - 1) * 1_000);
            }
        }
        (told, came)
    }

    #[test]
    fn however_many_come_they_take_little_from_the_work() {
        let begun = Instant::now();
        let (told, came) = crowd(&mut Patience::new(begun), begun, 20, 10);
        assert!(told < SHORTEST * 2, "a few do not wait long: {told:?}");
        assert!((200..=600).contains(&came), "and come again soon: {came}");
        for callers in [500, 2_000] {
            let (_, came) = crowd(&mut Patience::new(begun), begun, callers, 30);
            assert!((400..=2_500).contains(&came), "{came} of {callers} beside 10,000 served");
        }
    }

    #[test]
    fn when_the_crowd_has_gone_nobody_waits_long() {
        let begun = Instant::now();
        let mut patience = Patience::new(begun);
        let (told, _) = crowd(&mut patience, begun, 5_000, 30);
        assert!(told > Duration::from_secs(1), "{told:?}");
        let (told, _) = crowd(&mut patience, begun + Duration::from_secs(60), 10, 5);
        assert!(told < SHORTEST * 2, "{told:?}");
    }
}

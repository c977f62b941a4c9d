//! When calls of an open loop should begin.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

/// Calls at a fixed rate from `start` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) start: Instant,
    pub(super) per_second: u32,
}

impl Schedule {
    /// When the call with this number should begin, counted from 0. Computed from the start, so that no error adds up.
    pub(super) fn intended(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(self.seconds(number))
    }

    #[allow(clippy::cast_precision_loss, reason = "numbers of calls are small")]
    fn seconds(&self, number: u64) -> f64 {
        number as f64 / f64::from(self.per_second)
    }

    /// Hands out intended times, each when it has come, until `end`. On a thread of its own, because the runtime's timer
    /// counts milliseconds. One that wakes late hands out all that are due: none is left out.
    pub(super) fn run_until(self, end: Instant) -> mpsc::UnboundedReceiver<Instant> {
        let (sender, ticks) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let mut number = 0;
            loop {
                let intended = self.intended(number);
                if intended >= end {
                    break;
                }
                if let Some(early) = intended.checked_duration_since(Instant::now()) {
                    thread::sleep(early);
                }
                if sender.send(intended).is_err() {
                    break;
                }
                number += 1;
            }
        });
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_evenly_spread_and_no_error_adds_up() {
        let start = Instant::now();
        let schedule = Schedule { start, per_second: 3 };
        assert_eq!(schedule.intended(0), start);
        let hour = schedule.intended(3 * 3600).duration_since(start);
        assert!((hour.as_secs_f64() - 3600.0).abs() < 1e-6);
    }

    #[tokio::test]
    async fn every_call_is_handed_out_none_too_early() {
        let start = Instant::now();
        let schedule = Schedule { start, per_second: 1000 };
        let mut ticks = schedule.run_until(start + Duration::from_millis(50));
        let mut count = 0;
        while let Some(intended) = ticks.recv().await {
            assert!(Instant::now() >= intended);
            count += 1;
        }
        assert_eq!(count, 50);
    }
}

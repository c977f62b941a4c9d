//! How long ago a view is known to have had all of the log.

use std::time::Duration;

use ledger::Position;
use tokio::time::Instant;

/// One view on one shard, from look to look.
///
/// Under load the newest head is always some events ahead of the view. So a head that was seen is remembered until
/// the view includes it: then the view had all of the log when that head was seen. Only one head is remembered, so
/// a view that follows at a distance is called up to twice as late as it is, and never less late.
pub(crate) struct Lag {
    /// When the view is known to have had all of the log.
    complete_at: Instant,
    /// A head that the view did not include yet, and when it was seen.
    awaited: Option<(Instant, Position)>,
}

impl Lag {
    /// A view of which nothing is known yet: its lag is counted from now, because what was before, nobody here saw.
    pub(crate) fn counted_from(now: Instant) -> Self {
        Self { complete_at: now, awaited: None }
    }

    /// Takes in that the log ended at `head` at `seen_at`, and that the view was found to include `included` after that.
    pub(crate) fn note(&mut self, (seen_at, head): (Instant, Position), included: Position) {
        if included >= head {
            (self.complete_at, self.awaited) = (seen_at, None);
            return;
        }
        match self.awaited {
            Some((_, awaited)) if included < awaited => {}
            Some((awaited_at, _)) => {
                (self.complete_at, self.awaited) = (awaited_at, Some((seen_at, head)));
            }
            None => self.awaited = Some((seen_at, head)),
        }
    }

    /// How long before `now` the view is known to have had all of the log.
    pub(crate) fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.complete_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at a log and a view that end at these positions; the lag in seconds after each look.
    fn lags(looks: impl IntoIterator<Item = (i64, i64)>) -> Vec<u64> {
        let start = Instant::now();
        let mut lag = Lag::counted_from(start);
        let looks = looks.into_iter().zip(0..).map(|((head, included), second)| {
            let now = start + Duration::from_secs(second);
            let [head, included] = [head, included].map(|at| Position::new(at).unwrap());
            lag.note((now, head), included);
            lag.at(now).as_secs()
        });
        looks.collect()
    }

    #[test]
    fn a_view_that_has_everything_has_no_lag_however_long_nothing_happens() {
        assert_eq!(lags([(5, 5); 4]), [0; 4]);
        assert_eq!(lags([(0, 0), (5, 7)]), [0, 0], "it went on while it was looked at");
    }

    #[test]
    fn the_lag_of_a_view_that_stands_still_grows_until_it_has_everything_again() {
        assert_eq!(lags([(5, 5), (6, 5), (6, 5), (9, 5), (9, 9)]), [0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_view_that_is_found_behind_is_counted_from_the_first_look() {
        assert_eq!(lags([(9, 5), (9, 5), (9, 6), (9, 9)]), [0, 1, 2, 0]);
    }

    #[test]
    fn a_view_close_behind_a_busy_log_stays_at_a_small_lag() {
        let busy = (1..100).map(|second| (10 * second, 10 * second - 1));
        assert!(lags(busy).into_iter().all(|lag| lag <= 1));
    }

    #[test]
    fn a_view_that_follows_at_a_distance_is_called_at_most_twice_as_late_as_it_is() {
        let late = (10..100).map(|second| (second, second - 3));
        assert!(lags(late).into_iter().skip(10).all(|lag| (3..=6).contains(&lag)));
    }
}

//! What clients do to write services, and write services to each other.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Stage, services};
use crate::{
    dice::Dice,
    traffic::{Idlers, flood},
};

/// How long the usual clients are looked at alone, and what has to be done of a flood beside that.
const CALM: Duration = Duration::from_secs(1);
const GOODPUT_PERCENT: u128 = 80;

/// Clients send much of it twice at once, give up early, and ask again late. Reached: all three had answers to show.
pub(super) async fn retries(stage: &Stage, hold: Duration) -> bool {
    let counts = [&stage.mischief.hedged, &stage.mischief.cancelled, &stage.mischief.replayed];
    let read = || counts.map(|count| count.load(Ordering::Relaxed));
    let before = read();
    let [hedged, cancelled, repeated] =
        [&stage.manners.hedged, &stage.manners.cancelled, &stage.manners.repeated];
    let usual = [set(hedged, 35), set(cancelled, 35), set(repeated, 40)];
    sleep(hold + Duration::from_millis(500)).await;
    for (manner, usual) in [hedged, cancelled, repeated].into_iter().zip(usual) {
        set(manner, usual);
    }
    read().iter().zip(before).all(|(now, before)| *now > before)
}

/// Both get the same ids at once, while one is paused and then the other starts anew and knows no account. Reached: both answered
/// calls that were sent to both.
pub(super) async fn race(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let before = stage.mischief.hedged.load(Ordering::Relaxed);
    let usual = set(&stage.manners.hedged, 90);
    let first = dice.index(stage.writers.len());
    let second = (first + 1) % stage.writers.len();
    sleep(hold / 3).await;
    let paused = services::pause(&stage.writers[first], hold / 3).await;
    let killed = services::kill(stage, &stage.writers[second], Duration::ZERO).await;
    sleep(hold.max(Duration::from_millis(800))).await;
    set(&stage.manners.hedged, usual);
    paused && killed && stage.mischief.hedged.load(Ordering::Relaxed) > before
}

/// Many callers send much more than can be done, beside connections that say nothing or not all. Four fifths at
/// least have to be done of what was done when the usual clients were alone. Reached: some of it was refused for that.
pub(super) async fn overload(stage: &Stage, dice: &Dice, hold: Duration) -> bool {
    // Less than can be done: whoever refuses and those who are refused share the CPU here, so what is best is no measure.
    let alone = applied_per_second(stage, sleep(CALM)).await.0;
    let _idlers = Idlers::connect(&stage.clients).await;
    let flooded = flood(&stage.clients, &stage.history, dice, hold);
    let (rate, refused) = applied_per_second(stage, flooded).await;
    if rate * 100 < alone * GOODPUT_PERCENT {
        stage
            .tally
            .accident(format!("{rate} commands a second were done of a flood, {alone} before it"));
    }
    refused > 0
}

/// How many commands a second callers knew to be applied meanwhile.
async fn applied_per_second<T>(stage: &Stage, meanwhile: impl Future<Output = T>) -> (u128, T) {
    let (before, begun) = (stage.history.applied(), Instant::now());
    let result = meanwhile.await;
    let applied = u128::from(stage.history.applied() - before);
    (applied * 1_000_000 / begun.elapsed().as_micros().max(1), result)
}

/// Sets a manner; gives what it was.
pub(super) fn set(manner: &AtomicU64, percent: u64) -> u64 {
    manner.swap(percent, Ordering::Relaxed)
}

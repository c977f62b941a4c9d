//! Several projectors at once, and projectors that end at any moment: none can do harm.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_at_once_come_to_the_same() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _both = [stage.start(&["--page-events-max=3"]), stage.start(&["--page-events-max=7"])];
    for _ in 0..10 {
        stage.world.happens(10).await;
        stage.world.ring().await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_projectors_and_four_shards() {
    let mut stage = Stage::new(4).await;
    let all: Vec<_> =
        (1..=5).map(|pages| stage.start(&[&format!("--page-events-max={pages}")])).collect();
    for _ in 0..10 {
        stage.world.happens(20).await;
        stage.world.ring().await;
    }
    stage.is_right().await;
    drop(all);
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_takes_over_when_the_other_is_killed() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(30).await;
    let mut projectors = vec![stage.start(&[]), stage.start(&[])];
    for _ in 0..6 {
        stage.world.happens(10).await;
        drop(projectors.remove(0)); // at whatever it was doing
        projectors.push(stage.start(&[]));
    }
    stage.is_right().await;
}

/// A future that is dropped after so many polls, like a process that is killed between any two steps.
struct KilledAfter<F> {
    work: Pin<Box<F>>,
    polls_left: usize,
}

impl<F: Future> Future for KilledAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == 0 {
            return Poll::Ready(None);
        }
        self.polls_left -= 1;
        self.work.as_mut().poll(context).map(Some)
    }
}

/// Kills the projector after 1, 2, 3 ... polls, each time going on from what the last one left in Redis, until one comes to the end of the
/// log unkilled; then everything must be right.
async fn survives_kills(shards: i16, settings: &[&str], step: usize) {
    let mut stage = Stage::new(shards).await;
    stage.world.happens(40).await;
    let mut kills = 0;
    let mut polls = 1;
    while polls < 400 {
        let work = Box::pin(projector::testing::run_as_one(stage.config(settings)));
        let killed = KilledAfter { work, polls_left: polls };
        let ended = tokio::time::timeout(Duration::from_secs(5), pin!(killed)).await;
        kills += usize::from(matches!(ended, Ok(None)));
        polls += step;
        if polls % (step * 8) == 1 {
            stage.world.happens(3).await;
        }
    }
    assert!(kills > 100 / step, "{kills} kills");
    let _survivor = stage.start(settings);
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_between_any_two_steps_leaves_nothing_wrong() {
    survives_kills(1, &["--page-events-max=4"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_of_four_shards_killed_between_any_two_steps_leaves_nothing_wrong() {
    survives_kills(4, &["--page-events-max=4"], 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_killed_at_any_time_leave_nothing_wrong() {
    let mut stage = Stage::new(1).await;
    for micros in (0..60).map(|n| n * 1_700) {
        stage.world.happens(4).await;
        let projector = stage.start(&["--page-events-max=3"]);
        tokio::time::sleep(Duration::from_micros(micros)).await;
        drop(projector);
    }
    let _survivor = stage.start(&[]);
    stage.is_right().await;
}

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

impl Stage {
    /// Runs a projector that is killed after so many polls. Whether it came to the end of the log before.
    async fn run_killed_after(&self, polls: usize, settings: &[&str]) -> bool {
        let work = Box::pin(projector::testing::run_as_one(self.config(settings)));
        let killed = pin!(KilledAfter { work, polls_left: polls });
        tokio::select! {
            _ = killed => false,
            () = self.caught_up() => true,
        }
    }
}

/// Kills the projector after 1, 2, 3 ... polls, until one comes to the end of the log unkilled some times in a row.
///
/// With `fresh`, each begins with an empty Redis, so that every step of building a generation is the last one
/// once; otherwise each goes on from what the last one left.
async fn survives_kills(shards: i16, fresh: bool) {
    let settings = ["--page-events-max=4", "--listen=false"];
    let mut stage = Stage::new(shards).await;
    stage.world.happens(20).await;
    let (mut kills, mut unkilled) = (0, 0);
    for polls in 1..1000 {
        if fresh {
            let prefix = dev_servers::TestServers::get().redis_prefix();
            stage = Stage::on(&stage.store.redis_url, &prefix, stage.world).await;
        } else {
            stage.world.happens(3).await;
        }
        match stage.run_killed_after(polls, &settings).await {
            false => (kills, unkilled) = (kills + 1, 0),
            true => unkilled += 1,
        }
        if fresh {
            let _survivor = stage.start(&settings);
            stage.is_right().await;
        }
        if unkilled == 5 {
            break;
        }
    }
    assert!(kills >= 20, "{kills} kills");
    let _survivor = stage.start(&settings);
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_between_any_two_steps_leaves_nothing_wrong() {
    survives_kills(1, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_between_any_two_steps_of_building_leaves_nothing_wrong() {
    survives_kills(1, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_of_four_shards_killed_between_any_two_steps_leaves_nothing_wrong() {
    survives_kills(4, false).await;
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

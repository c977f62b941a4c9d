//! How long after its acknowledgement a command can be read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use ledger::ShardCount;
use read_model::{Reader, StoreConfig, View};
use tokio::sync::oneshot;

use super::{
    job::{Lags, Watch},
    recorder::{Latencies, Window},
};

/// A read model that is still behind after so long has stopped.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Which position was reached when.
type Moment = (i64, Instant);

/// What was acknowledged when.
#[derive(Clone, Default)]
pub(super) struct Acks(Arc<Mutex<Vec<Moment>>>);

impl Acks {
    pub(super) fn add(&self, position: i64, at: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((position, at));
    }

    fn list(&self) -> Vec<Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notes when the accounts view is announced to include which position. On a thread of its own, so that what it notes
/// does not wait for callers.
pub(super) struct Watcher {
    thread: JoinHandle<anyhow::Result<Vec<Moment>>>,
    last: oneshot::Sender<i64>,
}

impl Watcher {
    /// Begins; when this returns, nothing is missed any more.
    pub(super) async fn start(watch: Watch) -> anyhow::Result<Self> {
        let (listens, listening) = oneshot::channel();
        let (last, until) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(note(watch, listens, until))
        });
        listening.await.context("watch the read model")?;
        Ok(Self { thread, last })
    }

    /// Waits until everything acknowledged can be read, and compares.
    pub(super) async fn finish(self, acks: &Acks, window: Window) -> anyhow::Result<Lags> {
        let acks = acks.list();
        let last = acks.iter().map(|(position, _)| *position).max().unwrap_or(0);
        let _ = self.last.send(last); // a watcher that has ended says why below
        let ended = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        let commits = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(compare(&acks, &commits, window))
    }
}

/// Notes until the position that `until` says is reached.
async fn note(
    watch: Watch,
    listens: oneshot::Sender<()>,
    mut until: oneshot::Receiver<i64>,
) -> anyhow::Result<Vec<Moment>> {
    let mut config = StoreConfig::new(watch.redis_url);
    config.key_prefix = watch.key_prefix;
    let mut feed = Reader::new(&config)?.subscribe(ShardCount::ONE).await?;
    let _ = listens.send(());
    let mut commits: Vec<Moment> = Vec::new();
    let mut last = None;
    let mut deadline = Instant::now() + Duration::from_secs(3600);
    loop {
        if last.is_some_and(|last| commits.last().map_or(0, |(position, _)| *position) >= last) {
            return Ok(commits);
        }
        tokio::select! {
            published = feed.next() => {
                let published = published?;
                if published.view == View::Accounts {
                    commits.push((published.position.get(), Instant::now()));
                }
            }
            position = &mut until, if last.is_none() => {
                last = Some(position?);
                deadline = Instant::now() + CATCH_UP_TIMEOUT;
            }
            () = tokio::time::sleep_until(deadline.into()) => anyhow::bail!("the read model does not follow"),
        }
    }
}

/// From each acknowledgement inside the window to the first commit that includes it. One that could be read before it was
/// acknowledged has none.
fn compare(acks: &[Moment], commits: &[Moment], window: Window) -> Lags {
    let mut all = Latencies::new();
    let mut seconds: Vec<Latencies> = Vec::new();
    for (position, acknowledged) in acks {
        let Some(second) = window.second_of(*acknowledged) else { continue };
        let place = commits.partition_point(|(committed, _)| committed < position);
        let Some((_, readable)) = commits.get(place) else { continue };
        let lag = readable.saturating_duration_since(*acknowledged);
        all.record(lag);
        if seconds.len() <= second {
            seconds.resize_with(second + 1, Latencies::coarse);
        }
        seconds[second].record(lag);
    }
    let by_second = seconds.iter().map(|second| (second.at(50.0), second.at(99.0))).collect();
    Lags { all: all.summary(), by_second }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_ends_with_the_first_commit_that_includes_the_command() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let window = Window::after(start, Duration::ZERO, Duration::from_secs(2));
        let acks = [(1, at(10)), (2, at(11)), (3, at(20)), (4, at(1500)), (5, at(2000))];
        let commits = [(2, at(15)), (3, at(18)), (4, at(1600)), (5, at(2001))];
        let lags = compare(&acks, &commits, window);
        // 5 and 4 ms, none, 100 ms; the last is outside.
        assert!((lags.all.max / 100.0 - 1.0).abs() < 0.002, "{lags:?}");
        assert!((lags.all.p50 / 4.0 - 1.0).abs() < 0.002, "{lags:?}");
        assert_eq!(lags.by_second.len(), 2);
        assert!((lags.by_second[0].1 / 5.0 - 1.0).abs() < 0.02, "{lags:?}");
    }
}

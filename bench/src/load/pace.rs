//! Letting callers call: in a closed loop or at a fixed rate.

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use super::{
    clock::Schedule,
    job::{Job, LoadResult, Pace},
    recorder::{Recorder, Window},
};
use crate::cpu;

/// One of those who call.
pub(super) trait Caller: Send + 'static {
    /// Calls once and waits for the answer; how many operations that was.
    fn call(&mut self) -> impl Future<Output = anyhow::Result<u64>> + Send;

    /// When the call answered last was sent, of those who have several under way.
    fn sent(&self) -> Option<Instant> {
        None
    }

    /// Waits for answers that are still under way, when no more calls are made.
    fn finish(&mut self) -> impl Future<Output = anyhow::Result<u64>> + Send {
        std::future::ready(Ok(0))
    }
}

/// Lets all callers call as the job says.
pub(super) async fn run<C: Caller>(job: &Job, callers: Vec<C>) -> anyhow::Result<LoadResult> {
    let begin = Instant::now();
    let recorder = Recorder::new(Window::after(begin, job.warm_up, job.time));
    run_until(job, callers, &recorder, begin).await
}

/// The same, writing to a recorder that others know.
pub(super) async fn run_until<C: Caller>(
    job: &Job,
    callers: Vec<C>,
    recorder: &Recorder,
    begin: Instant,
) -> anyhow::Result<LoadResult> {
    let cpu_before = cpu::of_process(std::process::id());
    let mut tasks = match job.pace {
        Pace::Closed { .. } => closed(callers, recorder),
        Pace::Open { per_second, .. } => {
            let schedule = Schedule { start: begin, per_second };
            open(callers, recorder, schedule.run_until(recorder.window().end))
        }
    };
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let cpu_seconds = cpu::of_process(std::process::id()) - cpu_before;
    Ok(recorder.with(|recorded| LoadResult {
        operations: recorded.operations,
        seconds: job.time.as_secs_f64(),
        operations_in_all: recorded.operations_in_all,
        latency: recorded.latency(),
        by_second: recorded.by_second(),
        cpu_seconds,
        ..LoadResult::default()
    }))
}

fn closed<C: Caller>(callers: Vec<C>, recorder: &Recorder) -> JoinSet<anyhow::Result<()>> {
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let recorder = recorder.clone();
        let end = recorder.window().end;
        tasks.spawn(async move {
            let mut begun = Instant::now();
            while begun < end {
                let operations = caller.call().await?;
                let answered = Instant::now();
                recorder.answered(caller.sent().unwrap_or(begun), answered, operations);
                begun = answered;
            }
            let operations = caller.finish().await?;
            recorder.answered(begun, Instant::now(), operations); // too late to count, but acknowledged
            Ok(())
        });
    }
    tasks
}

/// A call that no caller is free for waits in the channel, and its latency counts from when it should have begun.
fn open<C: Caller>(
    callers: Vec<C>,
    recorder: &Recorder,
    ticks: mpsc::UnboundedReceiver<Instant>,
) -> JoinSet<anyhow::Result<()>> {
    let ticks = Arc::new(Mutex::new(ticks));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (recorder, ticks) = (recorder.clone(), ticks.clone());
        tasks.spawn(async move {
            loop {
                let tick = ticks.lock().await.recv().await;
                let Some(intended) = tick else { return Ok(()) };
                let operations = caller.call().await?;
                recorder.answered_in_the_end(intended, Instant::now(), operations);
            }
        });
    }
    tasks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::job::{BaselineKind, BaselineWork, Work};

    /// Answers at once, but for one call.
    struct Stalling {
        calls: u32,
        stalled_call: u32,
    }

    const STALL: Duration = Duration::from_millis(200);

    impl Caller for Stalling {
        async fn call(&mut self) -> anyhow::Result<u64> {
            self.calls += 1;
            if self.calls == self.stalled_call {
                tokio::time::sleep(STALL).await;
            }
            Ok(1)
        }
    }

    fn job(pace: Pace) -> Job {
        let (url, kind) = (String::new(), BaselineKind::Insert);
        let work = Work::Baseline(BaselineWork { kind, url, accounts: 1, first_version: 1 });
        Job { work, pace, warm_up: Duration::ZERO, time: Duration::from_millis(500) }
    }

    #[tokio::test]
    async fn in_an_open_loop_a_stall_shows_in_every_call_it_delays() {
        let job = job(Pace::Open { per_second: 1000, callers: 1 });
        let result = run(&job, vec![Stalling { calls: 0, stalled_call: 50 }]).await.unwrap();
        // 200 of 500 calls were due during the stall. A loop that waits for its answers would have one slow call.
        assert!(result.latency.p90 > 20.0, "{:?}", result.latency);
        assert!(result.latency.max >= 199.0);
        assert_eq!(result.operations_in_all, 500);
    }

    #[tokio::test]
    async fn a_closed_loop_counts_what_was_answered() {
        let stalling = || Stalling { calls: 0, stalled_call: 1 };
        let mut job = job(Pace::Closed { callers: 2 });
        job.time = Duration::from_millis(300);
        struct Slow(Stalling);
        impl Caller for Slow {
            async fn call(&mut self) -> anyhow::Result<u64> {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.0.call().await
            }
        }
        let result = run(&job, vec![Slow(stalling()), Slow(stalling())]).await.unwrap();
        assert!((2..=10).contains(&result.operations), "{}", result.operations);
        assert!(result.latency.max >= 199.0);
    }
}

//! From a signal to the end of the process: asked once, then pressed, then cut.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Why a service did not come to its own end.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// The process could not listen for signals.
    #[error("listen for SIGTERM and SIGINT")]
    Signals(#[source] io::Error),
    /// The service was still running this long after it had been asked to stop.
    #[error("still running {0:?} after the request to stop")]
    DeadlinePassed(Duration),
}

/// Runs `service` until it ends by itself or a signal asks it to.
///
/// The first SIGTERM or SIGINT cancels the token that `service` was given; it then has `deadline`
/// to finish what it has begun, and any grace period of its own must be shorter. A second signal ends the process at once: whoever presses Ctrl-C
/// again means it. Belongs into `main`, once.
///
/// # Errors
/// No signal handler could be installed, or the deadline passed.
pub async fn run_until_shutdown<F, Fut, T>(
    deadline: Duration,
    service: F,
) -> Result<T, ShutdownError>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = T>,
{
    let mut signals = Signals::listen().map_err(ShutdownError::Signals)?;
    match drive(async || signals.next().await, deadline, service).await {
        Ending::Itself(outcome) => Ok(outcome),
        Ending::DeadlinePassed => Err(ShutdownError::DeadlinePassed(deadline)),
        Ending::SecondSignal(second) => {
            warn!(signal = second.name(), "second signal, exiting at once");
            std::process::exit(second.exit_code())
        }
    }
}

/// A request from outside to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopSignal {
    Terminate,
    Interrupt,
}

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// What a shell reports for a process that the signal killed: 128 and the signal's number.
    fn exit_code(self) -> i32 {
        let kind = match self {
            Self::Terminate => SignalKind::terminate(),
            Self::Interrupt => SignalKind::interrupt(),
        };
        128 + kind.as_raw_value()
    }
}

/// Both signals, listened for from the moment it exists.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

/// How a service ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending<T> {
    Itself(T),
    SecondSignal(StopSignal),
    DeadlinePassed,
}

async fn drive<S, F, Fut, T>(mut next_signal: S, deadline: Duration, service: F) -> Ending<T>
where
    S: AsyncFnMut() -> StopSignal,
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = T>,
{
    let token = CancellationToken::new();
    let mut running = pin!(service(token.clone()));

    let first = tokio::select! {
        outcome = &mut running => return Ending::Itself(outcome),
        first = next_signal() => first,
    };
    info!(signal = first.name(), deadline_ms = deadline.as_millis(), "stopping");
    token.cancel();

    tokio::select! {
        outcome = &mut running => Ending::Itself(outcome),
        second = next_signal() => Ending::SecondSignal(second),
        () = tokio::time::sleep(deadline) => Ending::DeadlinePassed,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// Signals that a test sends; none after the last, but no end either.
    async fn received(signals: &mut mpsc::UnboundedReceiver<StopSignal>) -> StopSignal {
        match signals.recv().await {
            Some(signal) => signal,
            None => pending().await,
        }
    }

    #[tokio::test]
    async fn a_service_that_ends_by_itself_is_not_asked_to_stop() {
        let ending =
            drive(async || pending().await, DEADLINE, |token| async move { token.is_cancelled() });
        assert_eq!(ending.await, Ending::Itself(false));
    }

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_outcome_is_kept() {
        let (send, mut signals) = mpsc::unbounded_channel();
        send.send(StopSignal::Terminate).unwrap();
        let ending = drive(
            async || received(&mut signals).await,
            DEADLINE,
            |token| async move {
                token.cancelled().await;
                "drained"
            },
        );
        assert_eq!(ending.await, Ending::Itself("drained"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_hangs_is_cut_at_the_deadline() {
        let (send, mut signals) = mpsc::unbounded_channel();
        send.send(StopSignal::Terminate).unwrap();
        let began = tokio::time::Instant::now();
        let ending = drive(async || received(&mut signals).await, DEADLINE, |_| pending::<()>());
        assert_eq!(ending.await, Ending::DeadlinePassed);
        assert_eq!(began.elapsed().as_secs(), DEADLINE.as_secs());
    }

    #[tokio::test]
    async fn the_second_signal_does_not_wait_for_the_deadline() {
        let (send, mut signals) = mpsc::unbounded_channel();
        send.send(StopSignal::Terminate).unwrap();
        send.send(StopSignal::Interrupt).unwrap();
        let ending = drive(async || received(&mut signals).await, DEADLINE, |_| pending::<()>());
        assert_eq!(ending.await, Ending::SecondSignal(StopSignal::Interrupt));
    }

    #[test]
    fn exit_codes_are_those_a_shell_reports() {
        assert_eq!(StopSignal::Terminate.exit_code(), 143);
        assert_eq!(StopSignal::Interrupt.exit_code(), 130);
    }
}

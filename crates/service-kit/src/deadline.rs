//! A call's deadline: told to the handler, and answered for when the handler is late.
//!
//! tonic 0.14 obeys every `grpc-timeout`, also without a time-out of the server's own: it drops the
//! handler and answers CANCELLED without a reason, from outside of any layer that could mend it. So
//! our deadline lies a little before tonic's, and what it answers is true: DEADLINE_EXCEEDED, and
//! on the write side whether the command may have been applied.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error_details::{Applied, ErrorStatus};
use crate::transport_errors::Side;

/// Below the resolution of tokio's timers a call cannot be served in time: it is not begun.
const SHORTEST: Duration = Duration::from_millis(1);

/// An answer must still reach the caller, so a handler is asked to be done this much earlier, or a
/// tenth earlier if that is less.
const MARGIN_MAX: Duration = Duration::from_millis(5);

/// What a client that ran out of time is told to wait before it tries again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Reads `grpc-timeout`: up to eight digits and a unit. Malformed is as good as absent, as in
/// tonic.
#[must_use]
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 60 * 60)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// When a handler should have answered, counted from the request's arrival.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// The deadline of a call, if its client set one. Present only behind [`Deadlines`].
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }

    /// So long from now; for tests and for calls that set a deadline of their own.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // Beyond what the clock can express is as good as a day: no call waits that long.
        Self { at: now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400)) }
    }

    /// The instant.
    #[must_use]
    pub fn at(self) -> Instant {
        self.at
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_past(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Layer that gives handlers a [`Deadline`] and answers when they miss it.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    side: Side,
}

impl Deadlines {
    /// For a server of this side.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self { side }
    }
}

impl<S> Layer<S> for Deadlines {
    type Service = DeadlinesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlinesService { inner, side: self.side }
    }
}

/// A service whose calls end by their deadline.
#[derive(Clone, Debug)]
pub struct DeadlinesService<S> {
    inner: S,
    side: Side,
}

impl<S, Req> Service<Request<Req>> for DeadlinesService<S>
where
    S: Service<Request<Req>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let side = self.side;
        let Some(timeout) = grpc_timeout(request.headers()) else {
            return DeadlineFuture { inner: Some(self.inner.call(request)), late: None, side };
        };
        if timeout < SHORTEST {
            return DeadlineFuture { inner: None, late: None, side };
        }
        let margin = MARGIN_MAX.min(timeout / 10);
        request.extensions_mut().insert(Deadline::after(timeout - margin));
        // Half the margin after the handler's own deadline, half before tonic's.
        let late = tokio::time::sleep_until(Deadline::after(timeout - margin / 2).at());
        DeadlineFuture { inner: Some(self.inner.call(request)), late: Some(late), side }
    }
}

pin_project! {
    /// The answer of a [`DeadlinesService`].
    pub struct DeadlineFuture<F> {
        // `None`: the call was not begun.
        #[pin]
        inner: Option<F>,
        #[pin]
        late: Option<Sleep>,
        side: Side,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Ok(not_begun(*this.side).into_http()));
        };
        if let Poll::Ready(answer) = inner.poll(cx) {
            return Poll::Ready(answer);
        }
        match this.late.as_pin_mut().map(|late| late.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Ok(not_answered(*this.side).into_http())),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

fn not_begun(side: Side) -> Status {
    let message = "the deadline had passed before the call began";
    let error = ErrorStatus::new(Code::DeadlineExceeded, "DEADLINE_BEFORE_START", message);
    side.with_applied((error.retry_after(RETRY_DELAY), Applied::No)).into_status()
}

/// The handler knows more than this layer, which therefore claims nothing.
fn not_answered(side: Side) -> Status {
    let reason = match side {
        Side::Write => "OUTCOME_UNKNOWN",
        Side::Read => "DEADLINE_PASSED",
    };
    let error = ErrorStatus::new(Code::DeadlineExceeded, reason, "the deadline passed");
    side.with_applied((error.retry_after(RETRY_DELAY), Applied::Unknown)).into_status()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(value));
        grpc_timeout(&headers)
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(read("3H"), Some(Duration::from_secs(3 * 60 * 60)));
        assert_eq!(read("2M"), Some(Duration::from_secs(2 * 60)));
        assert_eq!(read("42S"), Some(Duration::from_secs(42)));
        assert_eq!(read("13m"), Some(Duration::from_millis(13)));
        assert_eq!(read("2u"), Some(Duration::from_micros(2)));
        assert_eq!(read("82n"), Some(Duration::from_nanos(82)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 60 * 60)));
    }

    #[test]
    fn a_malformed_timeout_is_as_good_as_none() {
        for value in ["", "S", "5", "5s", "+5S", "-5S", "5.5S", " 5S", "123456789S", "5SS"] {
            assert_eq!(read(value), None, "{value:?}");
        }
        assert_eq!(grpc_timeout(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_bytes(b"5\xc3\xa4").unwrap());
        assert_eq!(grpc_timeout(&headers), None);
    }

    #[test]
    fn the_longest_timeout_does_not_overflow_the_clock() {
        assert!(!Deadline::after(Duration::MAX).is_past());
        assert!(Deadline::after(Duration::ZERO).is_past());
    }
}

//! Memory for messages of which only a part has come: bounded over all calls, so that those who begin much and finish
//! nothing cannot fill it.
//!
//! HTTP/2's windows bound what lies unread. But a message is read piece by piece as it comes, and each call may hold one of
//! [`MESSAGE_BYTES_MAX`](crate::server::MESSAGE_BYTES_MAX): with a thousand calls on each of thousands of connections, that
//! is no bound.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error_details::{Applied, ErrorStatus};
use crate::transport_errors::Side;

/// Before each gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What is begun now is finished soon, if its senders mean well.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Layer that refuses to hold more than so many bytes.
#[derive(Clone, Debug)]
pub(crate) struct UnfinishedMessages {
    side: Side,
    bytes_max: usize,
    /// Of all calls.
    held: Arc<AtomicUsize>,
}

impl UnfinishedMessages {
    pub(crate) fn new(side: Side, bytes_max: usize) -> Self {
        Self { side, bytes_max, held: Arc::default() }
    }

    fn refusal(&self) -> Status {
        let message = "too many messages are being received";
        let error = ErrorStatus::new(Code::ResourceExhausted, "OVERLOADED", message);
        self.side.with_applied((error.retry_after(RETRY_DELAY), Applied::No)).into_status()
    }
}

impl<S> Layer<S> for UnfinishedMessages {
    type Service = UnfinishedMessagesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UnfinishedMessagesService { inner, layer: self.clone() }
    }
}

/// A service whose requests are counted as they come.
#[derive(Clone, Debug)]
pub(crate) struct UnfinishedMessagesService<S> {
    inner: S,
    layer: UnfinishedMessages,
}

impl<S> Service<Request<Body>> for UnfinishedMessagesService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let layer = self.layer.clone();
        self.inner.call(request.map(|body| {
            // Most requests have come whole by now.
            if body.is_end_stream() { body } else { Body::new(Counted::new(body, layer)) }
        }))
    }
}

/// A body of which is known how much of an unfinished message it has brought.
struct Counted {
    body: Body,
    layer: UnfinishedMessages,
    message: Message,
}

impl Counted {
    fn new(body: Body, layer: UnfinishedMessages) -> Self {
        Self { body, layer, message: Message::default() }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let before = this.message.come;
            this.message.take(data);
            let now = this.message.come;
            if now > before {
                let held = this.layer.held.fetch_add(now - before, Ordering::Relaxed);
                if held + (now - before) > this.layer.bytes_max {
                    return Poll::Ready(Some(Err(this.layer.refusal())));
                }
            } else {
                this.layer.held.fetch_sub(before - now, Ordering::Relaxed);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.layer.held.fetch_sub(self.message.come, Ordering::Relaxed);
    }
}

/// How far a message has come.
#[derive(Debug, Default)]
struct Message {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of it that have come, its prefix included; 0 between messages.
    come: usize,
    /// Bytes of it, once its prefix has come.
    whole: usize,
}

impl Message {
    fn take(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.come < PREFIX_BYTES {
                let count = data.len().min(PREFIX_BYTES - self.come);
                self.prefix[self.come..self.come + count].copy_from_slice(&data[..count]);
                self.come += count;
                data = &data[count..];
                if self.come < PREFIX_BYTES {
                    return;
                }
                let [_, length @ ..] = self.prefix;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.whole = length.saturating_add(PREFIX_BYTES);
            }
            let count = data.len().min(self.whole - self.come);
            self.come += count;
            data = &data[count..];
            if self.come == self.whole {
                self.come = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_that_is_not_whole_counts_however_it_is_cut() {
        let bytes =
            [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 1, 0, 9, 9]].concat();
        for size in 1..=bytes.len() {
            let mut message = Message::default();
            bytes.chunks(size).for_each(|part| message.take(part));
            assert_eq!(message.come, 7, "in parts of {size}");
            message.take(&[9; 254]);
            assert_eq!(message.come, 0);
        }
    }
}

//! Memory for messages of which only a part has come: bounded over all calls, so that those who begin much and finish
//! nothing cannot fill it; and per connection and in time, so that one of them cannot take it from everybody else.
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
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error_details::{Applied, ErrorStatus};
use crate::incoming::Peer;
use crate::transport_errors::Side;

/// Before each gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What is begun now is finished soon, if its senders mean well.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The part of all bytes that one connection may hold.
const CONNECTION_SHARE: usize = 8;

/// Layer that refuses to hold more than so many bytes, or any for longer than so long.
#[derive(Clone, Debug)]
pub(crate) struct UnfinishedMessages {
    side: Side,
    bytes_max: usize,
    patience: Duration,
    /// Of all calls.
    held: Held,
}

/// Bytes of unfinished messages: of all calls, or of those of one connection.
pub(crate) type Held = Arc<AtomicUsize>;

impl UnfinishedMessages {
    pub(crate) fn new(side: Side, bytes_max: usize, patience: Duration) -> Self {
        Self { side, bytes_max, patience, held: Held::default() }
    }

    fn refusal(&self, message: &'static str) -> Status {
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
        let peer = request.extensions().get::<Peer>();
        if let Some(peer) = peer {
            peer.is_let_in(); // the gate is passed: this layer is the innermost
        }
        let of_connection = peer.map(|peer| peer.unfinished.clone()).unwrap_or_default();
        self.inner.call(request.map(|body| Body::new(Counted::new(body, layer, of_connection))))
    }
}

/// A body of which is known how much of an unfinished message it has brought, and since when.
struct Counted {
    body: Body,
    layer: UnfinishedMessages,
    of_connection: Held,
    message: Message,
    /// Until when the rest of the message is waited for.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Counted {
    fn new(body: Body, layer: UnfinishedMessages, of_connection: Held) -> Self {
        Self { body, layer, of_connection, message: Message::default(), patience: None }
    }

    /// Takes note of what has come; whether that much may be held.
    fn note(&mut self, data: &[u8]) -> bool {
        let before = self.message.come;
        if self.message.take(data) {
            self.patience = None;
        }
        let now = self.message.come;
        if now > 0 && self.patience.is_none() {
            self.patience = Some(Box::pin(tokio::time::sleep(self.layer.patience)));
        }
        let grown_to = |held: &Held| match now.checked_sub(before) {
            Some(0) => 0, // as in most calls: the message came whole
            Some(more) => held.fetch_add(more, Ordering::Relaxed) + more,
            None => {
                held.fetch_sub(before - now, Ordering::Relaxed);
                0
            }
        };
        let [of_all, of_connection] = [&self.layer.held, &self.of_connection].map(grown_to);
        let bytes_max = self.layer.bytes_max;
        of_all <= bytes_max && of_connection <= bytes_max / CONNECTION_SHARE
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
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(patience) = &mut this.patience {
                ready!(patience.as_mut().poll(cx));
                this.patience = None;
                let refusal = this.layer.refusal("the rest of a message has not come in time");
                return Poll::Ready(Some(Err(refusal)));
            }
            return Poll::Pending;
        };
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref())
            && !this.note(data)
        {
            let refusal = this.layer.refusal("too many messages are being received");
            return Poll::Ready(Some(Err(refusal)));
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
        for held in [&self.layer.held, &self.of_connection] {
            held.fetch_sub(self.message.come, Ordering::Relaxed);
        }
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
    /// Whether one has ended.
    fn take(&mut self, mut data: &[u8]) -> bool {
        let mut has_ended = false;
        while !data.is_empty() {
            if self.come < PREFIX_BYTES {
                let count = data.len().min(PREFIX_BYTES - self.come);
                self.prefix[self.come..self.come + count].copy_from_slice(&data[..count]);
                self.come += count;
                data = &data[count..];
                if self.come < PREFIX_BYTES {
                    return has_ended;
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
                has_ended = true;
            }
        }
        has_ended
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
            let ended = bytes.chunks(size).filter(|part| message.take(part)).count();
            assert_eq!((message.come, ended > 0), (7, true), "in parts of {size}");
            assert!(!message.take(&[9; 253]) && message.take(&[9]));
            assert_eq!(message.come, 0);
        }
    }
}

//! What tonic refuses by itself, put into the catalogue's words.
//!
//! A message that is too large or cannot be decoded never reaches a handler: tonic 0.14 answers
//! OUT_OF_RANGE or INTERNAL, with a message and no details. Such an answer is always
//! "trailers-only", so its status stands in the response's headers, where this layer finds it. An
//! error that carries details is ours and passes unchanged.
//!
//! Metadata over its limit is refused here too: the HTTP/2 library would answer with HTTP's own 431,
//! out of which every client library makes another code.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error_details::{Applied, ErrorStatus};

/// Which half of the ledger a server belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Takes commands: every error says whether the command was applied.
    Write,
    /// Answers queries, or serves nothing but its health.
    Read,
}

impl Side {
    /// Puts a status that tonic made by itself into the catalogue's words. A handler that reads a
    /// stream calls it on what `Streaming::message` returned; for everything else the layer does.
    #[must_use]
    pub fn map(self, status: Status) -> Status {
        if status.code() == Code::Ok || !status.details().is_empty() {
            return status;
        }
        self.with_applied(classify(&status)).into_status()
    }

    /// Adds `applied` on the write side.
    pub(crate) fn with_applied(self, (error, applied): (ErrorStatus, Applied)) -> ErrorStatus {
        match self {
            Self::Write => error.applied(applied),
            Self::Read => error,
        }
    }
}

/// How tonic begins the message of an error that it found while reading a request. The tests send
/// such requests over a socket, so that an upgrade cannot change these words unseen.
const UNREADABLE: [&str; 6] = [
    "failed to decode Protobuf message",
    "protocol error: received message with",
    "Unexpected EOF decoding stream",
    "Missing request message",
    "Error decompressing",
    "h2 protocol error",
];

/// What an error is called that no rule knows, in its answer and in the log: tests that send rubbish look for it there.
pub const UNCLASSIFIED: &str = "UNCLASSIFIED";

fn classify(status: &Status) -> (ErrorStatus, Applied) {
    let (code, message) = (status.code(), status.message());
    let begins = |with: &str| message.starts_with(with);
    let error = match code {
        Code::OutOfRange if begins("Error, decoded message length too large") => {
            ErrorStatus::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        }
        Code::ResourceExhausted if begins("Error decompressing: size limit") => {
            ErrorStatus::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        }
        // Whatever code the transport has for it: a request that its client resets half-way has others.
        _ if UNREADABLE.into_iter().any(begins) => {
            ErrorStatus::new(Code::InvalidArgument, "MESSAGE_MALFORMED", message)
        }
        Code::Unimplemented if begins("Content is compressed with") => {
            ErrorStatus::new(code, "COMPRESSION_UNSUPPORTED", message)
        }
        Code::Unimplemented => {
            let message = if message.is_empty() { "no such method" } else { message };
            ErrorStatus::new(code, "METHOD_UNKNOWN", message)
        }
        Code::NotFound if begins("service not registered") => {
            ErrorStatus::new(code, "SERVICE_UNKNOWN", message)
        }
        // Nothing known ends here. If something does, nobody may conclude that nothing happened.
        _ => {
            tracing::error!(?code, said = message, "{UNCLASSIFIED}");
            return (ErrorStatus::new(code, UNCLASSIFIED, message), Applied::Unknown);
        }
    };
    (error, Applied::No)
}

/// Layer around a server's services that maps what tonic produces by itself.
#[derive(Clone, Copy, Debug)]
pub struct TransportErrors {
    side: Side,
    metadata_bytes_max: usize,
}

impl TransportErrors {
    /// For a server of this side, which takes so many bytes of metadata with a call, counted as
    /// HTTP/2 does: names, values, and 32 for each.
    #[must_use]
    pub fn new(side: Side, metadata_bytes_max: usize) -> Self {
        Self { side, metadata_bytes_max }
    }

    fn refuse(self, metadata: &HeaderMap) -> Option<Status> {
        let bytes: usize =
            metadata.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        (bytes > self.metadata_bytes_max).then(|| {
            let limit = self.metadata_bytes_max;
            let message = format!("metadata of {bytes} bytes, the limit is {limit}");
            let error = ErrorStatus::new(Code::ResourceExhausted, "METADATA_TOO_LARGE", message);
            self.side.with_applied((error, Applied::No)).into_status()
        })
    }
}

impl<S> Layer<S> for TransportErrors {
    type Service = TransportErrorsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TransportErrorsService { inner, layer: *self }
    }
}

/// A service whose errors are in the catalogue.
#[derive(Clone, Debug)]
pub struct TransportErrorsService<S> {
    inner: S,
    layer: TransportErrors,
}

impl<S, Req> Service<Request<Req>> for TransportErrorsService<S>
where
    S: Service<Request<Req>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MappedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let refused = self.layer.refuse(request.headers());
        let called = refused.is_none().then(|| self.inner.call(request));
        MappedFuture { called, refused, side: self.layer.side }
    }
}

pin_project! {
    /// The answer of a [`TransportErrorsService`].
    pub struct MappedFuture<F> {
        #[pin]
        called: Option<F>,
        // Taken instead, if the call was not begun.
        refused: Option<Status>,
        side: Side,
    }
}

impl<F, E> Future for MappedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(refusal) = this.refused.take() {
            return Poll::Ready(Ok(refusal.into_http()));
        }
        let Some(called) = this.called.as_pin_mut() else {
            return Poll::Pending;
        };
        let mut response = ready!(called.poll(cx))?;
        map_headers(*this.side, response.headers_mut());
        Poll::Ready(Ok(response))
    }
}

/// Replaces the status in a trailers-only response; leaves every other header as it is.
fn map_headers(side: Side, headers: &mut HeaderMap) {
    if !headers.contains_key(Status::GRPC_STATUS)
        || headers.contains_key(Status::GRPC_STATUS_DETAILS)
    {
        return;
    }
    let Some(status) = Status::from_header_map(headers) else {
        return;
    };
    if status.code() == Code::Ok {
        return;
    }
    let mapped = side.with_applied(classify(&status)).into_status();
    headers.remove(Status::GRPC_MESSAGE);
    // The code goes in first, and nothing after it can fail: the message is percent-encoded, the
    // details are base64.
    let written = mapped.add_header(headers);
    debug_assert!(written.is_ok(), "a status of our own making has no header");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::error_details::{metadata, reason};

    fn mapped(side: Side, status: Status) -> (Code, String, Option<String>) {
        let mapped = side.map(status);
        let applied = metadata(&mapped).get("applied").cloned();
        (mapped.code(), reason(&mapped).unwrap(), applied)
    }

    #[test]
    fn an_error_with_details_is_ours_and_stays_as_it_is() {
        let ours = ErrorStatus::new(Code::Internal, "BROKEN", "Missing request message");
        let mapped = Side::Write.map(ours.into_status());
        assert_eq!((mapped.code(), reason(&mapped).as_deref()), (Code::Internal, Some("BROKEN")));
    }

    #[test]
    fn what_tonic_could_not_read_was_not_applied() {
        let status = Status::internal("Unexpected EOF decoding stream.");
        let (code, reason, applied) = mapped(Side::Write, status.clone());
        assert_eq!((code, &*reason), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
        assert_eq!(applied.as_deref(), Some("false"));
        assert_eq!(mapped(Side::Read, status).2, None);
    }

    #[test]
    fn what_its_client_has_reset_was_not_applied_either() {
        let status = Status::cancelled("h2 protocol error: error reading a body from connection");
        let (code, reason, applied) = mapped(Side::Write, status);
        assert_eq!((code, &*reason), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
        assert_eq!(applied.as_deref(), Some("false"));
    }

    #[test]
    fn an_error_nobody_knows_claims_nothing() {
        let (code, reason, applied) = mapped(Side::Write, Status::internal("surprise"));
        assert_eq!((code, &*reason), (Code::Internal, "UNCLASSIFIED"));
        assert_eq!(applied.as_deref(), Some("unknown"));
    }

    #[test]
    fn success_is_left_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        map_headers(Side::Write, &mut headers);
        assert_eq!(headers.len(), 1);
        map_headers(Side::Write, &mut HeaderMap::new());
    }
}

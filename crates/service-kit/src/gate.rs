//! The place of access control among what is around every call.
//!
//! It is behind the limits of the transport and the deadline, and before the message is read. What is decided there is the
//! business of whoever puts a [`Gate`] in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::error_details::{Applied, ErrorStatus};
use crate::incoming::Peer;
use crate::transport_errors::Side;

/// Decides which calls come in.
pub trait Gate: Send + Sync {
    /// Lets a call in, and puts what handlers have to know of its caller into its extensions. There the
    /// `Arc<`[`PeerCertificate`](crate::tls::PeerCertificate)`>` of its connection is found, if it has one.
    ///
    /// # Errors
    /// What the caller is told instead. Nothing of the call was looked at.
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Result<(), Box<ErrorStatus>>;
}

/// Layer that asks a [`Gate`], if there is one.
#[derive(Clone)]
pub(crate) struct Gates {
    gate: Option<Arc<dyn Gate>>,
    side: Side,
}

impl Gates {
    pub(crate) fn new(gate: Option<Arc<dyn Gate>>, side: Side) -> Self {
        Self { gate, side }
    }

    fn refuse<B>(&self, request: &mut Request<B>) -> Option<Status> {
        let gate = self.gate.as_ref()?;
        let mut extensions = std::mem::take(request.extensions_mut());
        if let Some(Peer { certificate: Some(certificate), .. }) = extensions.get::<Peer>().cloned()
        {
            extensions.insert(certificate);
        }
        let admitted = gate.admit(request.uri().path(), request.headers(), &mut extensions);
        *request.extensions_mut() = extensions;
        // Nobody behind the gate needs it, and nobody can log what is not there.
        request.headers_mut().remove(AUTHORIZATION);
        let refusal = admitted.err()?;
        Some(self.side.with_applied((*refusal, Applied::No)).into_status())
    }
}

impl<S> Layer<S> for Gates {
    type Service = GatesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatesService { inner, gates: self.clone() }
    }
}

/// A service that only admitted calls reach.
#[derive(Clone)]
pub(crate) struct GatesService<S> {
    inner: S,
    gates: Gates,
}

impl<S, Req> Service<Request<Req>> for GatesService<S>
where
    S: Service<Request<Req>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = GateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        match self.gates.refuse(&mut request) {
            Some(refused) => GateFuture { called: None, refused: Some(refused) },
            None => GateFuture { called: Some(self.inner.call(request)), refused: None },
        }
    }
}

pin_project! {
    /// The answer of a [`GatesService`].
    pub(crate) struct GateFuture<F> {
        #[pin]
        called: Option<F>,
        // Taken instead, if the call was not let in.
        refused: Option<Status>,
    }
}

impl<F, E> Future for GateFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(refusal) = this.refused.take() {
            return Poll::Ready(Ok(refusal.into_http()));
        }
        match this.called.as_pin_mut() {
            Some(called) => called.poll(cx),
            None => Poll::Pending,
        }
    }
}

//! A gRPC server in which everything has a limit, and which stops when it is told to.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::{Builder, Error as ReflectionError};
use tower::Service;
use tracing::{info, warn};

use crate::deadline::Deadlines;
use crate::descriptors;
use crate::gate::{Gate, Gates};
use crate::health::Health;
pub use crate::incoming::connection_number;
use crate::incoming::{OpenConnections, incoming};
use crate::tls::Tls;
use crate::transport_errors::{Side, TransportErrors};
use crate::unfinished::UnfinishedMessages;

/// Largest request message. A batch of a thousand commands is a quarter of it; it is also what
/// tonic, grpc-go and grpc-java take by default, so nobody is surprised.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that one call may have sent and nobody read yet.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Metadata up to so many times its limit is read and refused with a reason; what is larger still,
/// the HTTP/2 library refuses.
const REFUSABLE: u32 = 4;

/// What a client may ask of the transport. tonic's own defaults set no limit to streams and send
/// no keepalive.
///
/// No setting here ends connections by age: tonic's grace period for it cuts them without GOAWAY.
#[derive(Clone, Copy, Debug)]
pub struct GrpcLimits {
    /// Open connections. For one more, a silent one is closed: the oldest of those over which no call was let in yet. If
    /// there is none, the new one is.
    pub connections_max: usize,
    /// Calls at once on one connection; more wait at the client.
    pub streams_per_connection_max: u32,
    /// Bytes of one call's metadata: a bearer token and trace context fit many times over.
    pub metadata_bytes_max: u32,
    /// Bytes that all calls of one connection may have sent and nobody read yet. Many times what one call may (1 MiB), so
    /// that a stream which waits does not hold up the others.
    pub connection_window_bytes: u32,
    /// Bytes of one HTTP/2 frame; 16 KiB is the least the protocol allows, and interleaves best.
    pub frame_bytes_max: u32,
    /// Bytes of all messages together of which only a part has come; more are refused, and more than an eighth of it
    /// over one connection.
    pub unfinished_bytes_max: usize,
    /// How long the rest of a message is waited for.
    pub unfinished_patience: Duration,
    /// A connection that has been silent this long is asked whether it is still there ...
    pub keepalive_interval: Duration,
    /// ... and closed if it has not answered after so long.
    pub keepalive_timeout: Duration,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            connections_max: descriptors::for_connections(4096),
            streams_per_connection_max: 1024,
            metadata_bytes_max: 16 * 1024,
            connection_window_bytes: 16 * 1024 * 1024,
            frame_bytes_max: 16 * 1024,
            unfinished_bytes_max: 256 * 1024 * 1024,
            unfinished_patience: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a server stopped that nobody had asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport gave up.
    #[error("serve gRPC")]
    Transport(#[source] tonic::transport::Error),
}

/// A gRPC server with health, and around every call the layers of [`crate::transport_errors`],
/// [`crate::deadline`] and [`crate::gate`], in this order from the outside.
pub struct GrpcServer {
    side: Side,
    limits: GrpcLimits,
    health: Health,
    routes: RoutesBuilder,
    tls: Option<Tls>,
    gate: Option<Arc<dyn Gate>>,
}

impl GrpcServer {
    /// A server that so far answers `grpc.health.v1.Health` only.
    #[must_use]
    pub fn new(side: Side, health: &Health) -> Self {
        let mut routes = Routes::builder();
        routes.add_service(health.service());
        let (limits, health) = (GrpcLimits::default(), health.clone());
        Self { side, limits, health, routes, tls: None, gate: None }
    }

    /// Speaks TLS, if there is any.
    #[must_use]
    pub fn tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Lets in only what this gate does, if there is one; health and reflection are asked about too.
    #[must_use]
    pub fn gate(self, gate: Option<Arc<dyn Gate>>) -> Self {
        Self { gate, ..self }
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: GrpcLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a service as tonic generates them, on which [`MESSAGE_BYTES_MAX`] is for the caller to
    /// set.
    #[must_use]
    pub fn add_service<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.routes.add_service(service);
        self
    }

    /// Adds reflection, v1 and v1alpha (which grpcurl and older clients still ask for), over these
    /// encoded descriptor sets; health's and reflection's own are added.
    ///
    /// # Errors
    /// A descriptor set cannot be decoded.
    pub fn reflection(mut self, descriptor_sets: &[&[u8]]) -> Result<Self, ReflectionError> {
        let builder = || {
            let own = [
                tonic_health::pb::FILE_DESCRIPTOR_SET,
                v1::FILE_DESCRIPTOR_SET,
                v1alpha::FILE_DESCRIPTOR_SET,
            ];
            descriptor_sets.iter().copied().chain(own).fold(
                Builder::configure().include_reflection_service(false),
                Builder::register_encoded_file_descriptor_set,
            )
        };
        self.routes.add_service(builder().build_v1()?);
        self.routes.add_service(builder().build_v1alpha()?);
        Ok(self)
    }

    /// Serves until `shutdown`: then health says NOT_SERVING, the port closes, clients are told to
    /// go away, and running calls get `grace` to end. What is still open after that is cut, because
    /// a client that says nothing would keep a graceful shutdown waiting for ever.
    ///
    /// # Errors
    /// The transport gave up before it was asked to stop.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Result<(), ServeError> {
        let Self { side, limits, health, routes, tls, gate } = self;
        let open = OpenConnections::default();
        let cut = CancellationToken::new();
        // However this future ends, also if it is dropped, no connection outlives it.
        let _cut_at_the_end = cut.clone().drop_guard();

        if let Ok(addr) = listener.local_addr() {
            info!(%addr, tls = tls.is_some(), access = gate.is_some(), "serving gRPC");
        }
        let connections = incoming(listener, limits.connections_max, tls, open.clone(), cut);
        let stopping = shutdown.clone();
        let stop = async move {
            stopping.cancelled().await;
            health.close().await;
            health.end_watches().await;
        };
        let mut serving = pin!(
            transport(&limits)
                .layer(TransportErrors::new(side, limits.metadata_bytes_max as usize))
                .layer(Deadlines::new(side))
                .layer(Gates::new(gate, side))
                .layer(UnfinishedMessages::new(
                    side,
                    limits.unfinished_bytes_max,
                    limits.unfinished_patience,
                ))
                .serve_with_incoming_shutdown(routes.routes().prepare(), connections, stop)
        );

        tokio::select! {
            ended = &mut serving => return ended.map_err(ServeError::Transport),
            () = shutdown.cancelled() => {}
        }
        match tokio::time::timeout(grace, serving).await {
            Ok(ended) => ended.map_err(ServeError::Transport),
            Err(_elapsed) => {
                warn!(connections = open.count(), "grace is over, cutting connections");
                Ok(())
            }
        }
    }
}

/// Binds a listener.
///
/// # Errors
/// The address is taken or not ours; the error names it.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("bind {addr}: {error}")))
}

/// TCP_NODELAY is set where connections are accepted: tonic ignores it for a stream of them.
fn transport(limits: &GrpcLimits) -> Server {
    Server::builder()
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_frame_size(limits.frame_bytes_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits.connection_window_bytes)
        .http2_max_header_list_size(limits.metadata_bytes_max.saturating_mul(REFUSABLE))
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
}

//! A server under test, and a client that sends whatever bytes it is given.

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tonic_types::StatusExt;
use tower::Service;

use service_kit::deadline::Deadline;
use service_kit::error_details::{metadata, reason};
use service_kit::health::Health;
use service_kit::server::{GrpcLimits, GrpcServer, ServeError, bind};
use service_kit::transport_errors::Side;

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const GZIP_CHECK: &str = "/test.v1.Gzip/Check";
pub(crate) const SLEEP: &str = "/test.v1.Timed/Sleep";
pub(crate) const OBEY: &str = "/test.v1.Timed/Obey";

/// A gRPC frame around a message.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// A gRPC frame around a message, compressed.
pub(crate) fn gzip_frame(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    let mut frame = frame(&encoder.finish().unwrap());
    frame[0] = 1;
    frame
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinSet<Result<(), ServeError>>,
    timed: Timed,
}

impl Running {
    pub(crate) async fn start(side: Side) -> Self {
        Self::start_with(side, GrpcLimits::default(), Duration::from_secs(5)).await
    }

    pub(crate) async fn start_with(side: Side, limits: GrpcLimits, grace: Duration) -> Self {
        let health = Health::new(&[]).await;
        let timed = Timed::default();
        let server = GrpcServer::new(side, &health)
            .limits(limits)
            .reflection(&[])
            .unwrap()
            .add_service(Gzip(health.service().accept_compressed(CompressionEncoding::Gzip)))
            .add_service(timed.clone());
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(listener, shutdown.clone(), grace));
        Self { addr, health, shutdown, serving, timed }
    }

    pub(crate) async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // How the connection ends is seen by the calls on it.
            let _ended = connection.await;
        });
        Client { sender, _tasks: tasks }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.addr)).unwrap().connect().await.unwrap()
    }

    /// How many calls of `SLEEP` have reached the handler.
    pub(crate) fn sleeps_begun(&self) -> usize {
        self.timed.sleeps_begun.load(Ordering::SeqCst)
    }
}

pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    _tasks: JoinSet<()>,
}

impl Client {
    pub(crate) async fn call(&mut self, path: &str, body: Vec<u8>) -> Answer {
        self.send(path, body, &[]).await.unwrap()
    }

    pub(crate) async fn call_gzip(&mut self, path: &str, body: Vec<u8>) -> Answer {
        self.send(path, body, &[("grpc-encoding", "gzip")]).await.unwrap()
    }

    pub(crate) async fn call_within(&mut self, path: &str, timeout: &str) -> Answer {
        self.send(path, frame(&[]), &[("grpc-timeout", timeout)]).await.unwrap()
    }

    pub(crate) async fn send(
        &mut self,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, hyper::Error> {
        let mut request = Request::post(format!("http://test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return Ok(Answer::from(&status));
        }
        let trailers = body.collect().await?.trailers().cloned().unwrap_or_default();
        Ok(Answer::from(&Status::from_header_map(&trailers).unwrap()))
    }
}

/// What of an answer the tests look at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) reason: Option<String>,
    pub(crate) applied: Option<String>,
    pub(crate) has_bad_request: bool,
    pub(crate) has_retry_info: bool,
}

impl From<&Status> for Answer {
    fn from(status: &Status) -> Self {
        Self {
            code: status.code(),
            reason: reason(status),
            applied: metadata(status).remove("applied"),
            has_bad_request: status.get_details_bad_request().is_some(),
            has_retry_info: status.get_details_retry_info().is_some(),
        }
    }
}

/// The health service once more, under a name at which it takes compressed requests.
#[derive(Clone)]
struct Gzip(HealthServer<HealthService>);

impl NamedService for Gzip {
    const NAME: &'static str = "test.v1.Gzip";
}

impl Service<Request<Body>> for Gzip {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <HealthServer<HealthService> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        *request.uri_mut() = CHECK.parse().unwrap();
        self.0.call(request)
    }
}

/// `Sleep` never answers; `Obey` answers at the deadline that it was told.
#[derive(Clone, Default)]
struct Timed {
    sleeps_begun: Arc<AtomicUsize>,
}

impl NamedService for Timed {
    const NAME: &'static str = "test.v1.Timed";
}

impl Service<Request<Body>> for Timed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() == SLEEP {
            self.sleeps_begun.fetch_add(1, Ordering::SeqCst);
            return Box::pin(pending());
        }
        let request = tonic::Request::from_http(request);
        let deadline = Deadline::of(&request).unwrap();
        Box::pin(async move {
            tokio::time::sleep_until(deadline.at()).await;
            Ok(Status::ok("").into_http())
        })
    }
}

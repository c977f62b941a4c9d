//! `GET /metrics`, `/healthz` and `/readyz` over HTTP/1, for scrapers and orchestrators.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::health::Health;
use crate::server::bind;

/// A scraper or two and an orchestrator need a handful; whoever opens more is dropped.
const CONNECTIONS_MAX: usize = 64;

/// Time for a request's headers, so that a silent client does not keep one of those.
const HEADERS_DEADLINE: Duration = Duration::from_secs(10);

/// Pause after a failed accept: out of descriptors stays so for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The bound port, before it serves.
pub struct MetricsServer {
    listener: TcpListener,
    addr: SocketAddr,
}

impl MetricsServer {
    /// Binds; port 0 takes any free port.
    ///
    /// # Errors
    /// The address is taken or not ours; the error names it.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown`, which should come after the service has drained: a process that
    /// is stopping is worth watching.
    pub async fn serve(self, registry: Arc<Registry>, health: Health, shutdown: CancellationToken) {
        // Dropped at the end, and every connection with it: no answer here is worth a wait.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_ended) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok(_) if connections.len() >= CONNECTIONS_MAX => {
                    warn!(connections = connections.len(), "too many metrics connections");
                }
                Ok((stream, _peer)) => {
                    connections.spawn(converse(stream, registry.clone(), health.clone()));
                }
                Err(error) => {
                    warn!(%error, "accept a metrics connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(stream: TcpStream, registry: Arc<Registry>, health: Health) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &registry, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = ended {
        debug!(%error, "metrics connection ended");
    }
}

fn answer(
    method: &Method,
    path: &str,
    registry: &Registry,
    health: &Health,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            let mut text = String::new();
            match encode(&mut text, registry) {
                Ok(()) => respond(StatusCode::OK, OPEN_METRICS, text),
                Err(error) => {
                    warn!(%error, "encode the metrics");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n")
                }
            }
        }
        // Alive means that this loop runs; a lost database is no reason to restart the process.
        "/healthz" => plain(StatusCode::OK, "alive\n"),
        "/readyz" => match health.not_ready_reason() {
            None => plain(StatusCode::OK, "ready\n"),
            Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ => plain(StatusCode::NOT_FOUND, "GET /metrics, /healthz or /readyz\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, PLAIN, text.into())
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    /// Sends one request and returns everything that comes back.
    async fn get(addr: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_port_shows_metrics_liveness_and_readiness_until_shutdown() {
        let mut registry = crate::metrics::registry();
        let appends: Counter = Counter::default();
        registry.register("appends", "Appends", appends.clone());
        appends.inc();
        let health = Health::new(&[]).await;
        let shutdown = CancellationToken::new();
        let server = MetricsServer::bind(ANY_PORT.into()).await.unwrap();
        let addr = server.local_addr();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(Arc::new(registry), health.clone(), shutdown.clone()));

        let metrics = get(addr, "GET /metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
        assert!(metrics.contains("counterfoil_appends_total 1"), "{metrics}");

        assert!(get(addr, "GET /healthz").await.starts_with("HTTP/1.1 200"));
        let not_ready = get(addr, "GET /readyz").await;
        assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
        assert!(not_ready.ends_with("not ready: starting\n"), "{not_ready}");
        health.set_ready(true).await;
        assert!(get(addr, "GET /readyz").await.starts_with("HTTP/1.1 200"));

        assert!(get(addr, "POST /metrics").await.starts_with("HTTP/1.1 405"));
        assert!(get(addr, "GET /").await.starts_with("HTTP/1.1 404"));

        // A client that never says anything does not hold the shutdown up.
        let _silent = TcpStream::connect(addr).await.unwrap();
        shutdown.cancel();
        tasks.join_next().await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_in_the_error() {
        let first = MetricsServer::bind(ANY_PORT.into()).await.unwrap();
        let error = MetricsServer::bind(first.local_addr()).await.err().unwrap();
        assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
    }
}

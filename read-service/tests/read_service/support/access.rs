//! A service that asks who calls, and callers of every kind.

use std::net::SocketAddr;

use clap::Parser;
use dev_credentials::{Authority, Pair, TokenIssuer};
use proto::read::read_service_client::ReadServiceClient;
use read_service::{Config, ServeError, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Serving;
use tonic_health::pb::health_client::HealthClient;

use super::in_time;

/// What a test's client certificates may do.
const RIGHTS: &str = r#"{"callers": [
    {"certificate": "uri:spiffe://example/operator", "scope": "read admin", "accounts": "*"},
    {"certificate": "subject:CN=teller,O=Example", "scope": "read", "owners": ["acme"]}
]}"#;

/// A service with TLS that takes tokens and certificates.
pub(crate) struct Guarded {
    addr: SocketAddr,
    pub(crate) issuer: TokenIssuer,
    pub(crate) authority: Authority,
    _running: JoinSet<Result<(), ServeError>>,
}

/// What is shown at the gate.
pub(crate) enum Shown {
    Nothing,
    /// The whole header `authorization`.
    Header(String),
    Certificate(Pair),
}

/// The settings of a service with a certificate, whose clients may have one and whose callers are asked for a credential.
pub(crate) fn settings(authority: &Authority, issuer: &TokenIssuer) -> Vec<String> {
    let metrics = ["--metrics-addr", "127.0.0.1:0"].map(str::to_owned);
    metrics.into_iter().chain(authority.settings(RIGHTS)).chain(issuer.settings()).collect()
}

impl Guarded {
    /// Serves, and is ready.
    pub(crate) async fn start(redis_url: &str) -> Self {
        let (authority, issuer) = (Authority::new(), TokenIssuer::new());
        let own = ["read-service", "--redis-url", redis_url].map(str::to_owned);
        let words = own.into_iter().chain(settings(&authority, &issuer));
        let config = Config::try_parse_from(words).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, config, CancellationToken::new()));
        let service = Self { _running: running, ..Self::at(addr, authority, issuer) };
        service.until_serving().await;
        service
    }

    /// One that runs by itself.
    pub(crate) fn at(addr: SocketAddr, authority: Authority, issuer: TokenIssuer) -> Self {
        Self { addr, issuer, authority, _running: JoinSet::new() }
    }

    /// Health is open to everybody.
    pub(crate) async fn until_serving(&self) {
        let mut health = HealthClient::new(self.channel(&Shown::Nothing).await);
        let asked = HealthCheckRequest { service: String::new() };
        let mut watch = health.watch(asked).await.unwrap().into_inner();
        in_time(async {
            while watch.message().await.unwrap().unwrap().status() != Serving::Serving {}
        })
        .await;
    }

    pub(crate) fn shown(&self, more: &Value) -> Shown {
        Shown::Header(format!("Bearer {}", self.issuer.token("teller", more)))
    }

    pub(crate) async fn caller(&self, more: &Value) -> GuardedClient {
        self.client(&self.shown(more)).await
    }

    async fn channel(&self, shown: &Shown) -> Channel {
        let read = |path| std::fs::read(path).unwrap();
        let ca = Certificate::from_pem(read(self.authority.ca_file()));
        let mut tls = ClientTlsConfig::new().ca_certificate(ca);
        if let Shown::Certificate(Pair { cert, key }) = shown {
            tls = tls.identity(Identity::from_pem(read(cert.clone()), read(key.clone())));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.addr)).unwrap();
        in_time(endpoint.tls_config(tls).unwrap().connect()).await.unwrap()
    }

    pub(crate) async fn client(&self, shown: &Shown) -> GuardedClient {
        let header = match shown {
            Shown::Header(header) => Some(header.parse().unwrap()),
            Shown::Nothing | Shown::Certificate(_) => None,
        };
        GuardedClient { client: ReadServiceClient::new(self.channel(shown).await), header }
    }
}

/// A caller with its credential.
#[derive(Clone)]
pub(crate) struct GuardedClient {
    pub(crate) client: ReadServiceClient<Channel>,
    header: Option<AsciiMetadataValue>,
}

impl GuardedClient {
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        request
    }
}

/// A refusal as a caller could compare it with another: everything of it.
pub(crate) fn said<T: std::fmt::Debug>(
    answer: Result<T, Status>,
) -> (tonic::Code, String, Vec<u8>) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

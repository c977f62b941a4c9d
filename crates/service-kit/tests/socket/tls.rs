//! The port with TLS, as clients meet it: good ones, slow ones and wrong ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use dev_credentials::{Authority, Pair};
use http::{Extensions, HeaderMap};
use service_kit::error_details::{ErrorStatus, reason};
use service_kit::gate::Gate;
use service_kit::health::Health;
use service_kit::server::{GrpcLimits, GrpcServer, ServeError, bind};
use service_kit::tls::{PeerCertificate, Tls, TlsArgs, TlsError};
use service_kit::transport_errors::Side;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    tls: TlsArgs,
}

fn args(authority: &Authority, more: &[&str]) -> TlsArgs {
    let Pair { cert, key } = authority.server();
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    let own = ["server", "--grpc-tls-cert-file", &cert, "--grpc-tls-key-file", &key];
    Args::parse_from(own.iter().chain(more)).tls
}

/// Lets everybody in whose name it has noted.
#[derive(Default)]
struct Notes(Mutex<Vec<Option<PeerCertificate>>>);

impl Gate for Notes {
    fn admit(
        &self,
        _: &str,
        _: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Result<(), Box<ErrorStatus>> {
        let certificate = extensions.get::<Arc<PeerCertificate>>().map(|it| (**it).clone());
        self.0.lock().unwrap().push(certificate);
        Ok(())
    }
}

struct Server {
    addr: SocketAddr,
    notes: Arc<Notes>,
    _serving: JoinSet<Result<(), ServeError>>,
}

impl Server {
    async fn start(args: &TlsArgs, connections_max: usize) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tls = Tls::begin(args, &listener).await.unwrap();
        assert!(tls.is_some());
        let (health, notes) = (Health::new(&[]).await, Arc::new(Notes::default()));
        let limits = GrpcLimits { connections_max, ..GrpcLimits::default() };
        let server = GrpcServer::new(Side::Write, &health).limits(limits).tls(tls);
        let server = server.gate(Some(notes.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(listener, CancellationToken::new(), Duration::ZERO));
        Self { addr, notes, _serving: serving }
    }

    /// Shakes hands, and gives the certificate that the server has shown.
    async fn certificate(&self, client: &ClientConfig) -> std::io::Result<CertificateDer<'static>> {
        let stream = TcpStream::connect(self.addr).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client.clone())).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        // With TLS 1.3 a client is done before the server has looked at its certificate: the settings of HTTP/2 say that it
        // was let in.
        stream.read_u8().await?;
        Ok(shown)
    }

    async fn lets_in(&self, client: &ClientConfig) -> bool {
        let shaken = tokio::time::timeout(Duration::from_secs(30), self.certificate(client)).await;
        shaken.expect("an answer of some kind").is_ok()
    }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn client(ca: PathBuf, own: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificates(&ca).remove(0)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(Pair { cert, key }) => {
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(certificates(cert), key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_connects_and_nobody_else_does() {
    let authority = Authority::new();
    let server = Server::start(&args(&authority, &[]), 10).await;
    assert!(server.lets_in(&client(authority.ca_file(), None)).await);
    assert!(!server.lets_in(&client(Authority::new().ca_file(), None)).await);
    let mut http1 = client(authority.ca_file(), None);
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(!server.lets_in(&http1).await);
    // Without TLS there is no way in.
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.addr)).unwrap();
    let asked = HealthCheckRequest { service: String::new() };
    let answer = match plain.connect().await {
        Ok(channel) => HealthClient::new(channel).check(asked).await.map(|_| ()),
        Err(_) => Err(tonic::Status::unavailable("")),
    };
    assert!(answer.is_err());
    assert!(server.notes.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn where_certificates_are_required_only_those_of_the_authority_come_in() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ca = clients.ca_file();
    for (word, without) in [("required", false), ("optional", true)] {
        let more = [
            "--grpc-tls-client-ca-file",
            &ca.to_string_lossy(),
            "--grpc-tls-client-certificates",
            word,
        ];
        let server = Server::start(&args(&authority, &more), 10).await;
        let ca = authority.ca_file();
        assert_eq!(server.lets_in(&client(ca.clone(), None)).await, without, "{word}");
        assert!(server.lets_in(&client(ca.clone(), Some(&clients.client("a")))).await);
        let another = Authority::new();
        assert!(!server.lets_in(&client(ca, Some(&another.client("a")))).await);
    }
}

#[tokio::test]
async fn the_gate_sees_the_certificate_of_the_connection() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let more = ["--grpc-tls-client-ca-file", &ca.to_string_lossy()];
    let server = Server::start(&args(&authority, &more), 10).await;
    let Pair { cert, key } = authority.client("a");
    let read = |path: &Path| std::fs::read(path).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(read(&ca)))
        .identity(tonic::transport::Identity::from_pem(read(&cert), read(&key)));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", server.addr));
    let channel = endpoint.unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let asked = Request::new(HealthCheckRequest { service: String::new() });
    HealthClient::new(channel).check(asked).await.unwrap();
    let seen = server.notes.0.lock().unwrap().clone();
    let names = seen[0].clone().unwrap().names;
    assert_eq!(names, ["uri:spiffe://example/a", "subject:CN=a,O=Example"]);
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_holds_up_nobody_and_is_ended() {
    let authority = Authority::new();
    let server = Server::start(&args(&authority, &[]), 10).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    assert!(server.lets_in(&client(authority.ca_file(), None)).await, "beside a silent one");
    let ended = tokio::time::timeout(Duration::from_secs(20), silent.read_u8()).await;
    assert!(ended.expect("it is ended").is_err());
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_counts_and_makes_room() {
    let authority = Authority::new();
    let server = Server::start(&args(&authority, &[]), 1).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    assert!(server.lets_in(&client(authority.ca_file(), None)).await, "in its place");
    // Sooner than a handshake is given up.
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read_u8()).await;
    assert!(ended.expect("it is closed").is_err());
}

async fn until(condition: impl AsyncFn() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking).await.expect("it does not come to pass");
}

#[tokio::test]
async fn a_new_certificate_is_shown_soon_and_the_last_good_one_meanwhile() {
    let authority = Authority::new();
    let args = args(&authority, &[]);
    let server = Server::start(&args, 10).await;
    let client = client(authority.ca_file(), None);
    let (cert, key) = (args.grpc_tls_cert_file.unwrap(), args.grpc_tls_key_file.unwrap());
    let first = certificates(&cert).remove(0);
    assert_eq!(server.certificate(&client).await.unwrap(), first);
    // The certificate has changed and its key has not: no pair.
    let old_key = std::fs::read(&key).unwrap();
    let _renewed = authority.server();
    let new_key = std::fs::read(&key).unwrap();
    std::fs::write(&key, old_key).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.certificate(&client).await.unwrap(), first);
    std::fs::write(&key, new_key).unwrap();
    let second = certificates(&cert).remove(0);
    assert_ne!(first, second);
    until(async || server.certificate(&client).await.unwrap() == second).await;
    std::fs::remove_file(&cert).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.certificate(&client).await.unwrap(), second);
}

async fn begin(
    words: &[&str],
    listener: &tokio::net::TcpListener,
) -> Result<Option<Tls>, TlsError> {
    let args = Args::try_parse_from(["server"].iter().chain(words)).unwrap().tls;
    Tls::begin(&args, listener).await
}

#[tokio::test]
async fn without_tls_others_are_served_only_if_settings_say_so_by_name() {
    let everywhere = bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap();
    let refused = begin(&[], &everywhere).await.unwrap_err();
    assert!(matches!(refused, TlsError::Plaintext(_)));
    assert!(refused.to_string().contains("COUNTERFOIL_ALLOW_PLAINTEXT"), "{refused}");
    assert!(begin(&["--allow-plaintext", "false"], &everywhere).await.is_err());
    assert!(begin(&["--allow-plaintext"], &everywhere).await.unwrap().is_none());
    for loopback in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0"] {
        let Ok(listener) = bind(loopback.parse().unwrap()).await else { continue }; // no IPv6 here
        assert!(begin(&[], &listener).await.unwrap().is_none(), "{loopback}");
    }
}

#[test]
fn a_certificate_and_its_key_are_set_together() {
    for half in [
        ["--grpc-tls-cert-file", "x"],
        ["--grpc-tls-key-file", "x"],
        ["--grpc-tls-client-ca-file", "x"],
    ] {
        assert!(Args::try_parse_from(["server"].iter().chain(&half)).is_err(), "{half:?}");
    }
}

#[tokio::test]
async fn what_is_refused_at_the_gate_says_that_nothing_was_applied() {
    struct Closed;
    impl Gate for Closed {
        fn admit(
            &self,
            _: &str,
            _: &HeaderMap,
            _: &mut Extensions,
        ) -> Result<(), Box<ErrorStatus>> {
            let refused = ErrorStatus::new(Code::Unauthenticated, "CREDENTIALS_MISSING", "nobody");
            Err(Box::new(refused))
        }
    }
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let health = Health::new(&[]).await;
    let server = GrpcServer::new(Side::Write, &health).gate(Some(Arc::new(Closed)));
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(listener, CancellationToken::new(), Duration::ZERO));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let asked = HealthCheckRequest { service: String::new() };
    let refused = client.check(asked).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("CREDENTIALS_MISSING"));
    let applied = service_kit::error_details::metadata(&refused).get("applied").cloned();
    assert_eq!(applied.as_deref(), Some("false"));
}

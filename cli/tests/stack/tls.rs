//! Reaching services by TLS, with credentials.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use dev_credentials::{Authority, Pair};
use service_kit::{
    error_details::ErrorStatus,
    gate::Gate,
    health::Health,
    server::{GrpcServer, ServeError, bind},
    tls::{PeerCertificate, Tls, TlsArgs},
    transport_errors::Side,
};
use tokio::{process::Command, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::support::PROGRAM;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    tls: TlsArgs,
}

/// Who called, and with which token.
type Seen = (Vec<String>, Option<String>);

/// Lets everybody in, and notes who it was.
#[derive(Default)]
struct Notes(Mutex<Vec<Seen>>);

impl Gate for Notes {
    fn admit(
        &self,
        _: &str,
        headers: &http::HeaderMap,
        extensions: &mut http::Extensions,
    ) -> Result<(), Box<ErrorStatus>> {
        let names = extensions.get::<Arc<PeerCertificate>>().map(|it| it.names.clone());
        let token = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.0.lock().unwrap().push((names.unwrap_or_default(), token));
        Ok(())
    }
}

async fn serve(
    authority: &Authority,
    notes: Arc<Notes>,
) -> (SocketAddr, JoinSet<Result<(), ServeError>>) {
    let Pair { cert, key } = authority.server();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let args = Args::parse_from([
        "server",
        "--grpc-tls-cert-file",
        &text(&cert),
        "--grpc-tls-key-file",
        &text(&key),
        "--grpc-tls-client-ca-file",
        &text(&authority.ca_file()),
    ]);
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let health = Health::new(&[]).await;
    health.set_ready(true).await;
    let tls = Tls::begin(&args.tls, &listener).await.unwrap();
    let server = GrpcServer::new(Side::Read, &health).tls(tls).gate(Some(notes));
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(listener, CancellationToken::new(), Duration::ZERO));
    (addr, serving)
}

#[tokio::test]
async fn a_service_is_reached_by_tls_with_certificate_and_token() {
    let (authority, notes) = (Authority::new(), Arc::new(Notes::default()));
    let (addr, _serving) = serve(&authority, notes.clone()).await;
    let Pair { cert, key } = authority.client("importer");
    let token_file = authority.path("token");
    let run = async |words: &[&str]| {
        let mut program = Command::new(PROGRAM);
        program.args(words).env("COUNTERFOIL_TOKEN_FILE", &token_file);
        program.output().await.unwrap()
    };
    let [ca, cert, key] =
        [authority.ca_file(), cert, key].map(|path| path.to_string_lossy().into_owned());
    let credentials = ["--tls-ca-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let names = vec![
        "uri:spiffe://example/importer".to_owned(),
        "subject:CN=importer,O=Example".to_owned(),
    ];

    let (bare, https) = (addr.to_string(), format!("https://localhost:{}", addr.port()));
    for (addr, token) in [(&bare, "a.b.c"), (&https, "d.e.f")] {
        fs::write(&token_file, format!("{token}\n")).unwrap();
        let done = run(&[&["healthcheck", addr][..], &credentials].concat()).await;
        assert!(done.status.success(), "{done:?}");
        let seen = notes.0.lock().unwrap().pop();
        assert_eq!(seen, Some((names.clone(), Some(format!("Bearer {token}")))));
    }
    // The commands that call the services do the same; this server has neither, and says so.
    let done =
        run(&[&["balance", "alice", "--read-addr", &https][..], &credentials].concat()).await;
    assert!(!done.status.success());
    assert_eq!(notes.0.lock().unwrap().pop().unwrap().1.as_deref(), Some("Bearer d.e.f"));

    // Without the certificate, without trust, and without TLS there is no answer, and the token goes nowhere.
    for words in [
        vec!["healthcheck", &https, "--tls-ca-file", &ca],
        [&["healthcheck", &https][..], &credentials[2..]].concat(),
        vec!["healthcheck", &bare],
        vec!["healthcheck", "http://10.255.255.1:1"],
    ] {
        let done = run(&words).await;
        assert!(!done.status.success(), "{words:?}: {done:?}");
        let said = format!("{done:?}");
        assert!(!said.contains("d.e.f"), "{said}");
    }
    assert!(notes.0.lock().unwrap().is_empty());
}

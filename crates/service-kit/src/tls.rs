//! TLS for the gRPC port: its settings, its certificate, and what is known of a client by its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tracing::{info, warn};

mod peer;

use crate::reload::{FileError, Reloaded};

pub use peer::PeerCertificate;

/// Who may connect, and how.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// PEM file with the certificate of the gRPC port, and those between it and its authority. With it the port speaks TLS
    /// only. Read again when it changes.
    #[arg(long, env = "GRPC_TLS_CERT_FILE", value_name = "FILE", requires = "grpc_tls_key_file")]
    pub grpc_tls_cert_file: Option<PathBuf>,

    /// PEM file with the certificate's private key. Read again when it changes.
    #[arg(long, env = "GRPC_TLS_KEY_FILE", value_name = "FILE", requires = "grpc_tls_cert_file")]
    pub grpc_tls_key_file: Option<PathBuf>,

    /// PEM file with the authorities whose certificates clients show. Read again when it changes.
    #[arg(
        long,
        env = "GRPC_TLS_CLIENT_CA_FILE",
        value_name = "FILE",
        requires = "grpc_tls_cert_file"
    )]
    pub grpc_tls_client_ca_file: Option<PathBuf>,

    /// Whether a client without a certificate may connect, when there are authorities for it.
    #[arg(
        long,
        env = "GRPC_TLS_CLIENT_CERTIFICATES",
        value_enum,
        default_value = "required",
        requires = "grpc_tls_client_ca_file"
    )]
    pub grpc_tls_client_certificates: ClientCertificates,

    /// Serve without TLS on an address that others than this machine can reach.
    #[arg(
        long,
        env = "COUNTERFOIL_ALLOW_PLAINTEXT",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub allow_plaintext: bool,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientCertificates {
    /// Whoever has none cannot connect.
    Required,
    /// Whoever has none may connect, and needs a token if access is controlled.
    Optional,
}

/// Why the port cannot be served as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Everybody on the way could read and change what is said.
    #[error(
        "{0} can be reached by others than this machine, and without TLS all they say could be read and changed: set \
         GRPC_TLS_CERT_FILE and GRPC_TLS_KEY_FILE, or COUNTERFOIL_ALLOW_PLAINTEXT=true if something in front sees to it"
    )]
    Plaintext(SocketAddr),
    /// The listener has no address.
    #[error("ask for the address of the gRPC port")]
    Address(#[source] io::Error),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A certificate in use. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Reloaded<ServerConfig>,
}

impl Tls {
    /// The TLS of a port, if it is to have any.
    ///
    /// # Errors
    /// The files cannot be used; or there are none, and others than this machine could connect.
    pub async fn begin(
        args: &TlsArgs,
        listener: &tokio::net::TcpListener,
    ) -> Result<Option<Self>, TlsError> {
        let addr = listener.local_addr().map_err(TlsError::Address)?;
        let (Some(cert), Some(key)) = (&args.grpc_tls_cert_file, &args.grpc_tls_key_file) else {
            if addr.ip().to_canonical().is_loopback() {
                return Ok(None);
            }
            if !args.allow_plaintext {
                return Err(TlsError::Plaintext(addr));
            }
            warn!(%addr, "serving without TLS, as COUNTERFOIL_ALLOW_PLAINTEXT says");
            return Ok(None);
        };
        let certificates = args.grpc_tls_client_certificates;
        let files = [Some(cert), Some(key), args.grpc_tls_client_ca_file.as_ref()];
        let files = files.into_iter().flatten().cloned().collect();
        let config = Reloaded::begin("TLS certificate and key", files, move |contents| {
            server_config(contents, certificates)
        });
        Ok(Some(Self { config: config.await? }))
    }

    /// For one handshake: with the certificate as it is now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.get())
    }
}

/// From certificates, key and, if there are any, authorities. Errors say nothing of the key.
fn server_config(
    contents: &[Vec<u8>],
    certificates: ClientCertificates,
) -> Result<ServerConfig, String> {
    let [chain, key, authorities @ ..] = contents else {
        return Err("a file is missing".to_owned());
    };
    let chain = certificates_of(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "there is no private key in PEM")?;
    let until = peer::not_after(&chain[0]).ok_or("the certificate cannot be read")?;

    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let has_clients = !authorities.is_empty();
    let builder = match authorities.first() {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates_of(authorities)? {
                roots.add(authority).map_err(|error| error.to_string())?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match certificates {
                ClientCertificates::Required => verifier,
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| error.to_string())?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    // Refuses a key that is not the certificate's.
    let mut config = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    if has_clients {
        // A resumed session would be let in without another look at its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    info!(certificate.until = until, "TLS certificate in use");
    Ok(config)
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| "a certificate is not in PEM")?;
    if certificates.is_empty() {
        return Err("there is no certificate in PEM".to_owned());
    }
    Ok(certificates)
}

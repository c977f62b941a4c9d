//! Connections: where to, by TLS or not, and with which credentials.

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use clap::Args;
use service_kit::error_details::{Applied, ErrorStatus};
use store_tls::stays_here;
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataValue, errors::InvalidMetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::failure::Failure;

/// A service that is there accepts a connection at once; one that is not should be noticed soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is silently dead is noticed by then, even without a call's deadline.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How this process connects: said once, for whatever it asks.
static CONNECT: OnceLock<ConnectArgs> = OnceLock::new();

/// How services are reached.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConnectArgs {
    /// PEM file with the authorities of the services' certificates; with it, HOST:PORT means https://HOST:PORT
    #[arg(
        long,
        env = "COUNTERFOIL_TLS_CA_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Connection"
    )]
    tls_ca_file: Option<PathBuf>,
    /// PEM file with the client certificate to show
    #[arg(
        long,
        env = "COUNTERFOIL_TLS_CERT_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Connection"
    )]
    tls_cert_file: Option<PathBuf>,
    /// PEM file with the private key of the client certificate
    #[arg(
        long,
        env = "COUNTERFOIL_TLS_KEY_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Connection"
    )]
    tls_key_file: Option<PathBuf>,
    /// File with the token to send; read anew with every call
    #[arg(
        long,
        env = "COUNTERFOIL_TOKEN_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Connection"
    )]
    token_file: Option<PathBuf>,
}

/// A connection that sends the token with every call, if there is one.
pub(crate) type Connection = InterceptedService<Channel, Token>;

/// The token of every call.
#[derive(Clone)]
pub(crate) struct Token(Option<PathBuf>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(path) = &self.0 else { return Ok(request) };
        let token = fs::read_to_string(path)
            .map_err(|error| no_token(format!("read the token in {}: {error}", path.display())))?;
        let value: Result<AsciiMetadataValue, InvalidMetadataValue> =
            format!("Bearer {}", token.trim()).parse();
        let mut value =
            value.map_err(|_| no_token(format!("there is no token in {}", path.display())))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Without its token a call is not begun.
fn no_token(why: String) -> Status {
    let error = ErrorStatus::new(Code::Unauthenticated, "CREDENTIALS_MISSING", why);
    error.applied(Applied::No).into_status()
}

/// Sets how everything connects from now on; the first call counts.
pub(crate) fn connect_with(args: ConnectArgs) {
    let _ = CONNECT.set(args);
}

/// A connection that is made with the first call, and again whenever it was lost.
pub(crate) fn channel(addr: &str) -> Result<Connection, Failure> {
    let args = CONNECT.get_or_init(ConnectArgs::default);
    let endpoint = endpoint(addr, args)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE);
    let token = Token(args.token_file.clone());
    Ok(InterceptedService::new(endpoint.connect_lazy(), token))
}

fn endpoint(addr: &str, args: &ConnectArgs) -> Result<Endpoint, Failure> {
    let scheme = if args.tls_ca_file.is_some() { "https" } else { "http" };
    let url = if addr.contains("://") { addr.to_owned() } else { format!("{scheme}://{addr}") };
    let endpoint = Endpoint::from_shared(url).map_err(|_| {
        Failure::usage(format!("{addr:?} is not an address such as 127.0.0.1:50051"))
    })?;
    if endpoint.uri().scheme_str() == Some("https") {
        let tls = tls(args)?;
        return endpoint.tls_config(tls).map_err(Failure::other);
    }
    if args.tls_ca_file.is_none() && (args.tls_cert_file.is_some() || args.tls_key_file.is_some()) {
        return Err(Failure::usage(
            "a client certificate is shown by TLS only: give --tls-ca-file, whom to trust",
        ));
    }
    if args.token_file.is_some() && !stays_here(endpoint.uri().host().unwrap_or_default()) {
        return Err(Failure::usage(format!(
            "a token is sent by TLS only, or to this machine: give --tls-ca-file for {addr}"
        )));
    }
    Ok(endpoint)
}

fn tls(args: &ConnectArgs) -> Result<ClientTlsConfig, Failure> {
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|error| Failure::usage(format!("read {}: {error}", path.display())))
    };
    let Some(authorities) = &args.tls_ca_file else {
        return Err(Failure::usage("https:// needs --tls-ca-file: whom to trust"));
    };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(authorities)?));
    match (&args.tls_cert_file, &args.tls_key_file) {
        (None, None) => Ok(tls),
        (Some(certificate), Some(key)) => {
            Ok(tls.identity(Identity::from_pem(read(certificate)?, read(key)?)))
        }
        _ => Err(Failure::usage("--tls-cert-file and --tls-key-file go together")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Refusal, USAGE};

    fn with_token() -> ConnectArgs {
        ConnectArgs { token_file: Some("token".into()), ..ConnectArgs::default() }
    }

    #[test]
    fn a_token_goes_to_other_machines_by_tls_only() {
        for (addr, is_fine) in [
            ("127.0.0.1:1", true),
            ("http://localhost:1", true),
            ("LocalHost:1", true),
            ("[::1]:1", true),
            ("10.0.0.1:1", false),
            ("http://bank.example:1", false),
            ("http://127.0.0.1.example:1", false),
        ] {
            assert_eq!(endpoint(addr, &with_token()).is_ok(), is_fine, "{addr}");
        }
        assert!(endpoint("10.0.0.1:1", &ConnectArgs::default()).is_ok());
    }

    #[test]
    fn https_needs_to_know_whom_to_trust() {
        assert!(endpoint("https://127.0.0.1:1", &ConnectArgs::default()).is_err());
    }

    #[test]
    fn a_client_certificate_is_never_left_out_in_silence() {
        let file = Some(PathBuf::from("pem"));
        for args in [
            ConnectArgs { tls_cert_file: file.clone(), ..ConnectArgs::default() },
            ConnectArgs { tls_key_file: file.clone(), ..ConnectArgs::default() },
            ConnectArgs {
                tls_cert_file: file.clone(),
                tls_key_file: file,
                ..ConnectArgs::default()
            },
        ] {
            let refused = endpoint("127.0.0.1:1", &args).unwrap_err();
            assert_eq!(refused.exit_code(), USAGE, "{args:?}");
        }
    }

    #[test]
    fn without_its_token_nothing_is_sent() {
        let mut token = Token(Some("no such file".into()));
        let refusal = Refusal::new(&token.call(Request::new(())).unwrap_err());
        assert_eq!(refusal.reason, "CREDENTIALS_MISSING");
        assert!(!refusal.may_be_applied());
    }
}

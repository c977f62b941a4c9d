//! Settings, the same for both services.

use std::path::PathBuf;

use clap::Args;

/// Who may call. Without any of these, everybody may do everything.
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// File with the public keys of whoever signs tokens: PEM, or a JWKS. Read again when it changes.
    #[arg(
        long,
        env = "ACCESS_TOKEN_KEYS_FILE",
        value_name = "FILE",
        requires_all = ["access_token_issuer", "access_token_audience"]
    )]
    pub access_token_keys_file: Option<PathBuf>,

    /// The issuer that tokens must be from: their claim `iss`.
    #[arg(long, env = "ACCESS_TOKEN_ISSUER", requires = "access_token_keys_file")]
    pub access_token_issuer: Option<String>,

    /// The audience that tokens must be for: one of their claim `aud`.
    #[arg(long, env = "ACCESS_TOKEN_AUDIENCE", requires = "access_token_keys_file")]
    pub access_token_audience: Option<String>,

    /// JSON file that says which client certificates may do what. Read again when it changes.
    #[arg(
        long,
        env = "ACCESS_CERTIFICATES_FILE",
        value_name = "FILE",
        requires = "grpc_tls_client_ca_file"
    )]
    pub access_certificates_file: Option<PathBuf>,

    /// Answer reflection also to those who show no credential, when access is controlled.
    #[arg(
        long,
        env = "ACCESS_REFLECTION_OPEN",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub access_reflection_open: bool,
}

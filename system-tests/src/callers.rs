//! Who calls, where access is controlled.

use dev_credentials::{AUDIENCE, ISSUER, TokenIssuer};
use serde_json::json;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::traffic::{OWNER, own_owner};

/// What a call says of its caller: nothing where access is not controlled.
#[derive(Debug, Clone, Default)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Those who may call the write services of one system.
#[derive(Debug)]
pub(crate) struct Callers {
    issuer: TokenIssuer,
}

impl Callers {
    pub(crate) fn new() -> Self {
        Self { issuer: TokenIssuer::new() }
    }

    /// The settings of a service that lets them in, and nobody else.
    pub(crate) fn settings(&self) -> [(String, String); 3] {
        let file = self.issuer.keys_file().to_string_lossy().into_owned();
        [
            ("ACCESS_TOKEN_KEYS_FILE", file.as_str()),
            ("ACCESS_TOKEN_ISSUER", ISSUER),
            ("ACCESS_TOKEN_AUDIENCE", AUDIENCE),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    /// Somebody to whom no account is closed.
    pub(crate) fn operator(&self) -> Credential {
        self.credential("operator", &json!({"scope": "write", "accounts": "*"}))
    }

    /// Somebody with the accounts of two owners: those that everybody uses, and those that this client opens. To him an account
    /// that is not there is another's.
    pub(crate) fn customer(&self, number: u64) -> Credential {
        let owners = [OWNER.to_owned(), own_owner(number)];
        self.credential(&format!("customer-{number}"), &json!({"scope": "write", "owners": owners}))
    }

    fn credential(&self, subject: &str, rights: &serde_json::Value) -> Credential {
        let token = format!("Bearer {}", self.issuer.token(subject, rights));
        Credential(Some(token.parse().unwrap()))
    }
}

//! The decision at the gate, and what handlers learn of it.

use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use jsonwebtoken::get_current_timestamp;
use service_kit::error_details::ErrorStatus;
use service_kit::gate::Gate;
use service_kit::log_limit::LogLimit;
use service_kit::reload::FileError;
use service_kit::tls::PeerCertificate;
use tonic::{Code, Request};
use tracing::info;

use crate::AccessArgs;
use crate::caller::{Caller, Scope};
use crate::certificate::Certificates;
use crate::rules::{Rule, rule};
use crate::token::{TokenInvalid, Tokens};

/// How a credential that is a token begins. The word is not case-sensitive.
const BEARER: &str = "Bearer ";

/// Access control cannot begin.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BeginError(#[from] FileError);

/// Access control of one server: on, or off. Clones share it.
#[derive(Clone, Debug)]
pub struct Access(Option<Arc<Guard>>);

struct Guard {
    tokens: Option<Tokens>,
    certificates: Option<Certificates>,
    reflection_open: bool,
    log_limit: LogLimit,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tokens, certificates) = (self.tokens.is_some(), self.certificates.is_some());
        f.debug_struct("Guard")
            .field("tokens", &tokens)
            .field("certificates", &certificates)
            .finish()
    }
}

impl Access {
    /// As settings say: on if they name keys of tokens or rights of certificates.
    ///
    /// # Errors
    /// What they name cannot be used. Nobody should be served then.
    pub async fn begin(args: &AccessArgs) -> Result<Self, BeginError> {
        let tokens = Tokens::begin(args).await?;
        let certificates = Certificates::begin(args).await?;
        if tokens.is_none() && certificates.is_none() {
            return Ok(Self(None));
        }
        let reflection_open = args.access_reflection_open;
        let log_limit = LogLimit::default();
        Ok(Self(Some(Arc::new(Guard { tokens, certificates, reflection_open, log_limit }))))
    }

    /// What a server asks before every call; nothing if access is not controlled.
    #[must_use]
    pub fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.0.clone().map(|guard| guard as Arc<dyn Gate>)
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// Access is controlled, and the request has not come through the gate: a mistake of ours, and no reason to let it in.
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Box<ErrorStatus>> {
        match &self.0 {
            None => Ok(Caller::anyone()),
            Some(_) => {
                let caller = request.extensions().get::<Caller>().cloned();
                caller.ok_or_else(|| Box::new(missing()))
            }
        }
    }
}

impl Gate for Guard {
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Result<(), Box<ErrorStatus>> {
        let (rule, rpc) = match rule(path) {
            Some((rule, rpc)) => (Some(rule), rpc),
            None => (None, "unknown"),
        };
        if rule == Some(Rule::Open) || (rule == Some(Rule::Reflection) && self.reflection_open) {
            return Ok(());
        }
        let certificate = extensions.get::<Arc<PeerCertificate>>();
        let caller = self
            .caller(headers, certificate.map(|certificate| &**certificate))
            .inspect_err(|refusal| self.tell(rpc, refusal, None))?;
        let allowed = match rule {
            Some(Rule::Needs(scope)) if !caller.has(scope) => Err(Box::new(scope_missing(scope))),
            Some(Rule::Needs(_) | Rule::Reflection | Rule::Open) => Ok(()),
            None => Err(Box::new(denied())),
        };
        allowed.inspect_err(|refusal| self.tell(rpc, refusal, caller.actor()))?;
        extensions.insert(caller);
        Ok(())
    }
}

impl Guard {
    /// Whose credential it is. A token that is shown counts, and a certificate beside it does not: whoever sends a bad token
    /// means to be somebody else.
    fn caller(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, Box<ErrorStatus>> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let caller = match (shown.next(), shown.next()) {
            (None, _) => match (&self.certificates, certificate) {
                (Some(certificates), Some(certificate)) => {
                    let now = get_current_timestamp();
                    certificates.caller(certificate, now).ok_or_else(denied)
                }
                _ => Err(missing()),
            },
            (Some(value), None) => match (value.to_str().ok().and_then(bearer), &self.tokens) {
                (None, _) => Err(missing()),
                (Some(_), None) => Err(invalid(TokenInvalid::Signature)),
                (Some(token), Some(tokens)) => tokens.caller(token).map_err(invalid),
            },
            (Some(_), Some(_)) => Err(missing()),
        };
        caller.map_err(Box::new)
    }

    /// One line a second and reason. Of the credential only whose it is, once that is known.
    fn tell(&self, rpc: &'static str, refusal: &ErrorStatus, actor: Option<&str>) {
        if let Some(untold) = self.log_limit.turn(refusal.reason, Instant::now()) {
            info!(
                rpc,
                outcome = refusal.reason,
                actor,
                untold,
                error = refusal.message,
                "call refused"
            );
        }
    }
}

/// The token of a header such as `Bearer a.b.c`, if it has the form of one.
fn bearer(header: &str) -> Option<&str> {
    let (word, token) = header.split_at_checked(BEARER.len())?;
    let is_part =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let has_form = token.split('.').count() == 3 && token.split('.').all(is_part);
    (word.eq_ignore_ascii_case(BEARER) && has_form && !token.starts_with('.')).then_some(token)
}

/// No credential, or none in a form that could be looked at.
fn missing() -> ErrorStatus {
    let message =
        "this needs a client certificate, or metadata such as authorization: Bearer <token>";
    ErrorStatus::new(Code::Unauthenticated, "CREDENTIALS_MISSING", message)
}

fn invalid(why: TokenInvalid) -> ErrorStatus {
    ErrorStatus::new(Code::Unauthenticated, "TOKEN_INVALID", why.to_string())
}

/// A call goes on longer than its caller's credential.
#[must_use]
pub fn expired() -> ErrorStatus {
    invalid(TokenInvalid::Expired)
}

fn scope_missing(scope: Scope) -> ErrorStatus {
    let message = format!("this needs the scope {}", scope.name());
    ErrorStatus::new(Code::PermissionDenied, "ACCOUNT_ACCESS_DENIED", message)
        .metadata("scope", scope.name())
}

/// The caller has no right to this: the same words whether there is such an account or not.
#[must_use]
pub fn denied() -> ErrorStatus {
    let message = "there is no such thing that this caller has a right to";
    ErrorStatus::new(Code::PermissionDenied, "ACCOUNT_ACCESS_DENIED", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_a_token_is_looked_at() {
        assert_eq!(bearer("Bearer a.b-_.c"), Some("a.b-_.c"));
        assert_eq!(bearer("bearer a.b."), Some("a.b.")); // no signature: a bad token, but a token
        for other in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a",
            "Bearer a.b",
            "Bearer a.b.c.d",
            "Bearer .b.c",
            "Bearer  a.b.c",
            "Bearer a.b.c ",
            "Bearer a.b.c,d",
            "Basic a.b.c",
            "a.b.c",
            "Bearer a.b.ä",
        ] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}

//! Tokens: from the text after `Bearer` to a caller.
//!
//! Each key has the one algorithm that its kind has, and verifies nothing else. The header of a token only chooses among the
//! keys; so no token can ask to be verified by less.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp,
};
use serde::Deserialize;
use service_kit::reload::{FileError, Reloaded};
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tracing::warn;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::AccessArgs;
use crate::caller::{ACTOR_BYTES_MAX, Caller, Identity};
use crate::claims::Claims;
use crate::signature;

/// By how much two clocks may differ.
pub(crate) const LEEWAY_SECONDS: u64 = 30;

/// Most keys of a file: a token without a key id is tried with each.
const KEYS_MAX: usize = 16;

/// Tokens whose signature is not verified again with every call: that takes longer than deciding a command. A caller usually
/// has one at a time.
const KNOWN_MAX: usize = 4096;

/// Why a token is none. Said to the caller; nothing of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenInvalid {
    #[error("the token cannot be read, or has an algorithm that is not allowed")]
    Unreadable,
    #[error("the token is not signed with a key that is known here")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    TooEarly,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is from another issuer")]
    Issuer,
    #[error("a claim of the token is missing or malformed")]
    Claims,
}

/// What is asked of tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: Reloaded<KeySet>,
}

/// The keys of one content of the file, and the tokens that they have verified.
struct KeySet {
    keys: Vec<Key>,
    known: Mutex<HashMap<[u8; 32], Caller>>,
}

struct Key {
    id: Option<String>,
    key: DecodingKey,
    algorithm: Algorithm,
    validation: Validation,
}

/// The claims that are looked at here; `iss`, `aud` and `nbf` are the library's business.
#[derive(Deserialize)]
struct TokenClaims {
    sub: String,
    exp: f64,
    #[serde(flatten)]
    claims: Claims,
}

impl Tokens {
    /// Those that settings allow, if any.
    ///
    /// # Errors
    /// The keys cannot be read.
    pub(crate) async fn begin(args: &AccessArgs) -> Result<Option<Self>, FileError> {
        let Some(file) = &args.access_token_keys_file else { return Ok(None) };
        signature::install();
        let issuer = args.access_token_issuer.clone().unwrap_or_default();
        let audience = args.access_token_audience.clone().unwrap_or_default();
        let keys = Reloaded::begin("keys of tokens", vec![file.clone()], move |contents| {
            KeySet::read(contents.first().map_or(&[], Vec::as_slice), &issuer, &audience)
        });
        Ok(Some(Self { keys: keys.await? }))
    }

    /// The caller that a token proves.
    ///
    /// # Errors
    /// [`TokenInvalid`].
    pub(crate) fn caller(&self, token: &str) -> Result<Caller, TokenInvalid> {
        let keys = self.keys.get();
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let digest: [u8; 32] = digest.as_ref().try_into().map_err(|_| TokenInvalid::Unreadable)?;
        let known = keys.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(caller) = known {
            return if is_over(&caller) { Err(TokenInvalid::Expired) } else { Ok(caller) };
        }
        let caller = keys.verify(token)?;
        let mut known = keys.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(digest, caller.clone());
        Ok(caller)
    }
}

fn is_over(caller: &Caller) -> bool {
    caller.until().is_some_and(|until| until <= get_current_timestamp())
}

impl KeySet {
    fn read(file: &[u8], issuer: &str, audience: &str) -> Result<Self, String> {
        let is_json = file.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let found = if is_json { keys_of_jwks(file)? } else { keys_of_pem(file)? };
        if found.len() > KEYS_MAX {
            return Err(format!("there are {} keys, at most {KEYS_MAX} are allowed", found.len()));
        }
        if found.is_empty() {
            // Somebody has taken the last one away, and its tokens must end. Half a file does not come to here.
            warn!(
                "no public key for RS256, ES256 or EdDSA in the keys of tokens: no token is good"
            );
        }
        let keys = found.into_iter().map(|(id, key, algorithm)| {
            let mut validation = Validation::new(algorithm);
            validation.set_issuer(&[issuer]);
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = LEEWAY_SECONDS;
            Key { id, key, algorithm, validation }
        });
        Ok(Self { keys: keys.collect(), known: Mutex::default() })
    }

    fn verify(&self, token: &str) -> Result<Caller, TokenInvalid> {
        let header = decode_header(token).map_err(|_| TokenInvalid::Unreadable)?;
        if header.crit.is_some() {
            return Err(TokenInvalid::Unreadable); // it asks for an extension, and none is understood here
        }
        let fits = |key: &&Key| {
            key.algorithm == header.alg
                && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        };
        let is_allowed =
            self.keys.is_empty() || self.keys.iter().any(|key| key.algorithm == header.alg);
        let mut invalid =
            if is_allowed { TokenInvalid::Signature } else { TokenInvalid::Unreadable };
        for key in self.keys.iter().filter(fits) {
            match decode::<TokenClaims>(token, &key.key, &key.validation) {
                Ok(data) => return caller(data.claims),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                    invalid = TokenInvalid::Signature;
                }
                Err(error) => return Err(explain(&error)), // its signature is good
            }
        }
        Err(invalid)
    }
}

fn caller(claims: TokenClaims) -> Result<Caller, TokenInvalid> {
    let TokenClaims { sub, exp, claims } = claims;
    let actor = format!("token:{sub}");
    let is_name = !sub.is_empty() && !sub.chars().any(char::is_control);
    if !is_name || actor.len() > ACTOR_BYTES_MAX {
        return Err(TokenInvalid::Claims);
    }
    let expiry = Duration::try_from_secs_f64(exp).map_err(|_| TokenInvalid::Claims)?;
    let until = expiry.as_secs().saturating_add(LEEWAY_SECONDS + 1); // the library lets its last second pass
    let reach = claims.reach().map_err(|_| TokenInvalid::Claims)?;
    let scopes = claims.scopes();
    Ok(Caller::new(Identity { actor: Some(actor), scopes, reach }).ending(until))
}

fn explain(error: &Error) -> TokenInvalid {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenInvalid::Expired,
        ErrorKind::ImmatureSignature => TokenInvalid::TooEarly,
        ErrorKind::InvalidAudience => TokenInvalid::Audience,
        ErrorKind::InvalidIssuer => TokenInvalid::Issuer,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_) => TokenInvalid::Claims,
        _ => TokenInvalid::Unreadable,
    }
}

type FoundKey = (Option<String>, DecodingKey, Algorithm);

/// Every public key of a JWKS that signs with one of the three algorithms. Others may stand there too, and are for others;
/// symmetric ones are never taken.
fn keys_of_jwks(file: &[u8]) -> Result<Vec<FoundKey>, String> {
    let set: JwkSet = serde_json::from_slice(file).map_err(|_| "it is no JWKS")?;
    set.keys.iter().filter_map(key_of_jwk).collect()
}

fn key_of_jwk(jwk: &Jwk) -> Option<Result<FoundKey, String>> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let says = &jwk.common;
    let is_for_other = says.key_algorithm.as_ref().is_some_and(|said| *said != name)
        || says.public_key_use.as_ref().is_some_and(|said| *said != PublicKeyUse::Signature);
    if is_for_other {
        return None;
    }
    let id = says.key_id.clone();
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "a key of the JWKS cannot be read".to_owned());
    Some(key.map(|key| (id, key, algorithm)))
}

/// Every such key of a PEM file. Without any public key it is none: a file that could not be written is empty.
fn keys_of_pem(file: &[u8]) -> Result<Vec<FoundKey>, String> {
    if file.windows(11).any(|words| words == b"PRIVATE KEY") {
        return Err("it has a private key, which does not belong here".to_owned());
    }
    let keys: Vec<_> = SubjectPublicKeyInfoDer::pem_slice_iter(file)
        .collect::<Result<_, _>>()
        .map_err(|_| "a key is not in PEM")?;
    if keys.is_empty() {
        return Err("there is no public key in it, and it is no JWKS".to_owned());
    }
    keys.iter().filter_map(|key| key_of_der(key).transpose()).collect()
}

fn key_of_der(der: &[u8]) -> Result<Option<FoundKey>, String> {
    let (_, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| "a key cannot be read")?;
    let (kind, bits) = (&key.algorithm.algorithm, &*key.subject_public_key.data);
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let (key, algorithm) = if *kind == OID_PKCS1_RSAENCRYPTION {
        (DecodingKey::from_rsa_der(bits), Algorithm::RS256)
    } else if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) {
        (DecodingKey::from_ec_der(bits), Algorithm::ES256)
    } else if *kind == OID_SIG_ED25519 {
        (DecodingKey::from_ed_der(bits), Algorithm::EdDSA)
    } else {
        return Ok(None); // neither RSA nor on the curves P-256 or Ed25519
    };
    Ok(Some((None, key, algorithm)))
}

#[cfg(test)]
mod tests;

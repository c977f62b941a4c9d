//! Tokens, good and bad.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Who issues tokens, if nothing else is said.
pub const ISSUER: &str = "https://issuer.example";
/// For whom they are.
pub const AUDIENCE: &str = "counterfoil";

/// A credential that must let nobody in.
#[derive(Clone, Debug)]
pub struct BadCredential {
    /// What is wrong with it.
    pub what: &'static str,
    /// The header `authorization`, if there is one.
    pub authorization: Option<String>,
    /// The reason of the error that a service answers.
    pub reason: &'static str,
}

/// Signs tokens with ES256 and `EdDSA`. The file of its public keys is gone when it is dropped.
#[derive(Debug)]
pub struct TokenIssuer {
    folder: TempDir,
    random: SystemRandom,
    ecdsa: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Default for TokenIssuer {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "what tokens say is compared with the system's clock")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

impl TokenIssuer {
    /// An issuer with new keys.
    #[must_use]
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.expect("make a key");
        let ecdsa =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        let made = Ed25519KeyPair::generate_pkcs8(&random).expect("make a key");
        let issuer = Self {
            folder: tempfile::tempdir().expect("make a folder"),
            random,
            ecdsa: ecdsa.expect("read a key"),
            ed25519: Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("read a key"),
        };
        issuer.write_keys(&issuer.jwks());
        issuer
    }

    /// File with the public keys.
    #[must_use]
    pub fn keys_file(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Writes something else into the file with the public keys.
    pub fn write_keys(&self, text: &str) {
        fs::write(self.keys_file(), text).expect("write keys");
    }

    /// The public keys as a JWKS.
    #[must_use]
    pub fn jwks(&self) -> String {
        let point = self.ecdsa.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let ed25519 = self.ed25519.public_key().as_ref();
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "es", "use": "sig", "alg": "ES256", "x": text(x), "y": text(y)},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed25519)},
        ]})
        .to_string()
    }

    /// The public keys as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        // What stands in a SubjectPublicKeyInfo before the key itself: lengths, algorithm and curve.
        const EC: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        const ED: [u8; 12] =
            [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let block = |prefix: &[u8], key: &[u8]| {
            let der = [prefix, key].concat();
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<&str> =
                (0..body.len()).step_by(64).map(|at| &body[at..body.len().min(at + 64)]).collect();
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
        };
        let ec = block(&EC, self.ecdsa.public_key().as_ref());
        ec + &block(&ED, self.ed25519.public_key().as_ref())
    }

    /// A token for this subject that is good for an hour, with more claims such as `scope`.
    #[must_use]
    pub fn token(&self, subject: &str, more: &Value) -> String {
        self.sign(&claims(subject, more))
    }

    /// A token with exactly these claims, signed with ES256.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "ES256", "typ": "JWT", "kid": "es"}), claims);
        let signature = self.ecdsa.sign(&self.random, message.as_bytes()).expect("sign");
        format!("{message}.{}", text(signature.as_ref()))
    }

    /// The same with `EdDSA`.
    #[must_use]
    pub fn sign_with_eddsa(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "EdDSA", "typ": "JWT"}), claims);
        format!("{message}.{}", text(self.ed25519.sign(message.as_bytes()).as_ref()))
    }

    /// A token that says it needs no signature, and has none.
    #[must_use]
    pub fn unsigned(&self, claims: &Value) -> String {
        format!("{}.", message(&json!({"alg": "none", "typ": "JWT"}), claims))
    }

    /// A token signed by whoever has the *public* keys, taken for a secret.
    #[must_use]
    pub fn sign_with_public_key(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "HS256", "typ": "JWT", "kid": "es"}), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.ecdsa.public_key().as_ref());
        format!("{message}.{}", text(hmac::sign(&key, message.as_bytes()).as_ref()))
    }

    /// A token under a header of one's own, signed with ES256.
    #[must_use]
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.ecdsa.sign(&self.random, message.as_bytes()).expect("sign");
        format!("{message}.{}", text(signature.as_ref()))
    }

    /// Every kind of bad credential that could be made out of these claims, which are good.
    #[must_use]
    pub fn bad_credentials(&self, claims: &Value) -> Vec<BadCredential> {
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            self.sign(&claims)
        };
        let good = self.sign(claims);
        let cut = good.rsplit_once('.').expect("three parts").0;
        let missing = [
            ("nothing", None),
            ("another scheme", Some("Basic dTpw".to_owned())),
            ("no token", Some("Bearer ".to_owned())),
            ("half a token", Some(format!("Bearer {cut}"))),
            ("rubbish", Some("Bearer rubbish".to_owned())),
        ];
        let invalid = [
            ("bad signature", format!("{cut}.{}", "A".repeat(86))),
            ("another's key", Self::new().sign(claims)),
            ("expired", with("exp", json!(now() - 60))),
            ("not yet", with("nbf", json!(now() + 600))),
            ("wrong audience", with("aud", json!("other"))),
            ("wrong issuer", with("iss", json!("https://other.example"))),
            ("alg none", self.unsigned(claims)),
            ("public key as secret", self.sign_with_public_key(claims)),
        ];
        let missing = missing.map(|(what, authorization)| BadCredential {
            what,
            authorization,
            reason: "CREDENTIALS_MISSING",
        });
        let invalid = invalid.map(|(what, token)| BadCredential {
            what,
            authorization: Some(format!("Bearer {token}")),
            reason: "TOKEN_INVALID",
        });
        missing.into_iter().chain(invalid).collect()
    }

    /// The settings of a service that takes these tokens.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let file = self.keys_file().to_string_lossy().into_owned();
        let flags = [
            ("--access-token-keys-file", &*file),
            ("--access-token-issuer", ISSUER),
            ("--access-token-audience", AUDIENCE),
        ];
        flags.iter().flat_map(|(flag, value)| [*flag, *value]).map(str::to_owned).collect()
    }
}

/// Checks that neither a token nor its signature stands in a text.
///
/// # Panics
/// When one does.
pub fn assert_untold(text: &str, tokens: &[&str]) {
    for token in tokens {
        let signature = token.rsplit('.').next().unwrap_or_default();
        assert!(!text.contains(token) && !text.contains(signature), "{token}");
    }
}

/// Good claims for this subject, with more of them, which win.
#[must_use]
pub fn claims(subject: &str, more: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now() + 3600});
    if let (Some(claims), Some(more)) = (claims.as_object_mut(), more.as_object()) {
        claims.extend(more.clone());
    }
    claims
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()))
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

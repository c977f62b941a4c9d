//! The keys of anchors, as files: Ed25519 in the PEM forms that `openssl` writes and reads.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};

/// What stands before the 32 bytes of a private key in its PKCS#8 form (RFC 8410), which is then complete.
const PRIVATE_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The same of a public key (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs anchors.
pub(crate) struct SigningKey(Ed25519KeyPair);

/// Shows who signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; 32]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file cannot be read or written.
    #[error("{attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// A key that is there is not written over: what it has signed could not be verified any more.
    #[error("{} is there already, and a key is never written over: choose another name", .0.display())]
    IsThere(PathBuf),
    /// It is something else.
    #[error("{} holds no Ed25519 {kind} key in PEM form, as `counterfoil anchor --new-key` makes it", path.display())]
    NotAKey { kind: &'static str, path: PathBuf },
    /// The machine gives no random numbers.
    #[error("there is no randomness to make a key of")]
    NoRandomness,
}

impl SigningKey {
    /// Makes a new key in a file that only its owner may read.
    pub(crate) fn create(path: &Path) -> Result<Self, KeyError> {
        let mut der = PRIVATE_PREFIX.to_vec();
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
        der.extend_from_slice(&seed);
        let key = Self::from_der(&der).ok_or(KeyError::NoRandomness)?;
        let failed = |cause: std::io::Error| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => KeyError::IsThere(path.to_owned()),
            _ => KeyError::File { attempt: "write", path: path.to_owned(), cause },
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(failed)?;
        file.write_all(pem("PRIVATE KEY", &der).as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        Ok(key)
    }

    /// Reads a key from a file.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(&bytes_of(path)?).ok();
        der.and_then(|der| Self::from_der(der.secret_pkcs8_der()))
            .ok_or_else(|| KeyError::NotAKey { kind: "private", path: path.to_owned() })
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        Some(Self(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// What shows that it was this key.
    pub(crate) fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref()); // Ed25519 has 32 bytes
        PublicKey(key)
    }
}

impl PublicKey {
    /// Reads a key from a file.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&bytes_of(path)?).ok();
        der.and_then(|der| Some(Self(der.strip_prefix(&PUBLIC_PREFIX)?.try_into().ok()?)))
            .ok_or_else(|| KeyError::NotAKey { kind: "public", path: path.to_owned() })
    }

    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        Some(Self(hex::decode(digits).ok()?.try_into().ok()?))
    }

    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC_PREFIX[..], &self.0].concat())
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |cause| KeyError::File { attempt: "read", path: path.to_owned(), cause };
    fs::read(path).map_err(failed)
}

/// Both kinds of key fit into the 64 letters of one line.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

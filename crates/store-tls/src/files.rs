//! The files that TLS needs. For Postgres they are read whenever a connection is made, so that certificates can be renewed
//! beside a running service; for Redis once, when a process starts.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::Error;

/// Whom to trust, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Whom to trust.
    pub roots: Roots,
    /// Our own certificate and its key, if the store asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Who may vouch for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Whoever this machine trusts.
    System,
    /// The certificates in this file, and nobody else.
    File(PathBuf),
}

/// The bytes of PEM files.
pub struct Pem {
    /// Whom to trust; `None` is whoever this machine trusts.
    pub roots: Option<Vec<u8>>,
    /// Certificate and key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// What rustls needs. The server's host name is always checked: there is no way to leave that out.
    ///
    /// # Errors
    /// When a file is missing or not what it should be.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.config_of(&self.read()?)
    }

    /// The bytes of the files, for a driver that reads them itself. They have been looked at: what is given here can be used.
    ///
    /// # Errors
    /// As [`Certificates::client_config`].
    pub fn pem(&self) -> Result<Pem, Error> {
        let pem = self.read()?;
        self.config_of(&pem)?;
        Ok(pem)
    }

    /// Each file once, so that what was looked at is what is used.
    fn read(&self) -> Result<Pem, Error> {
        let roots = match &self.roots {
            Roots::System => None,
            Roots::File(path) => Some(read(path)?),
        };
        let client = match &self.client {
            None => None,
            Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
        };
        Ok(Pem { roots, client })
    }

    fn config_of(&self, pem: &Pem) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Client)?
            .with_root_certificates(match &self.roots {
                Roots::System => system_roots()?,
                Roots::File(path) => given_roots(path, pem.roots.as_deref().unwrap_or_default())?,
            });
        let config = match (&self.client, &pem.client) {
            (Some((certificate, key)), Some((certificate_text, key_text))) => builder
                .with_client_auth_cert(
                    certificates(certificate, certificate_text)?,
                    private_key(key, key_text)?,
                )
                .map_err(Error::Client)?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

fn given_roots(path: &Path, text: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, text)? {
        let unfit = |cause: rustls::Error| unusable(path, cause.to_string());
        store.add(certificate).map_err(unfit)?;
    }
    Ok(store)
}

fn system_roots() -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(Error::System(why.join("; ")));
    }
    Ok(store)
}

/// All certificates in a PEM file; at least one.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| unusable(path, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, "there is no certificate in it".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| unusable(path, error.to_string()))
}

/// The bytes of a file that a URL names.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unusable(path, error.to_string()))
}

fn unusable(path: &Path, why: String) -> Error {
    Error::File { path: path.to_owned(), why }
}

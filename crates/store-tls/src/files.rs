//! The files that TLS needs. They are read when a connection is made, so that certificates can be renewed beside a running service.

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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Client)?
            .with_root_certificates(self.roots.store()?);
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(Error::Client)?,
        };
        Ok(Arc::new(config))
    }

    /// The bytes of the files, for a driver that reads them itself. They have been looked at: what is given here can be used.
    ///
    /// # Errors
    /// As [`Certificates::client_config`].
    pub fn pem(&self) -> Result<Pem, Error> {
        self.client_config()?;
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
}

impl Roots {
    fn store(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        match self {
            Self::File(path) => {
                for certificate in certificates(path)? {
                    let unfit = |cause: rustls::Error| unusable(path, cause.to_string());
                    store.add(certificate).map_err(unfit)?;
                }
            }
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                    return Err(Error::System(why.join("; ")));
                }
            }
        }
        Ok(store)
    }
}

/// All certificates in a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unusable(path, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, "there is no certificate in it".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| unusable(path, error.to_string()))
}

/// The bytes of a file that a URL names.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unusable(path, error.to_string()))
}

fn unusable(path: &Path, why: String) -> Error {
    Error::File { path: path.to_owned(), why }
}

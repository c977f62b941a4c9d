//! What a server needs to offer TLS. Tests make it when they run.

use std::{fs, io, path::Path};

/// Who a server says it is.
#[derive(Clone)]
pub struct ServerTls {
    /// The certificate, in PEM form.
    pub certificate: String,
    /// Its private key, in PEM form.
    pub key: String,
}

impl ServerTls {
    /// Of PEM files.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn read(certificate: &Path, key: &Path) -> io::Result<Self> {
        Ok(Self { certificate: fs::read_to_string(certificate)?, key: fs::read_to_string(key)? })
    }
}

/// No key in what a failing test prints.
impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

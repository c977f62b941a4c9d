//! How the ways to Postgres and Redis are protected, as their URLs say it.
//!
//! The same four words for both stores, as libpq has them: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`. There are two ways
//! only: verified in full, or plain text. Encryption without knowing to whom is refused, because it looks like protection and is
//! none against whoever stands in between. Plain text needs to be asked for by name, unless it stays on this machine.

mod error;
mod files;
mod url;

pub use error::Error;
pub use files::{Certificates, Pem, Roots};
pub use url::{Protection, StoreUrl, stays_here};

/// Makes `ring` what rustls computes with in this process. The first one to say so wins, so it may be said again and again.
pub fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

//! What is wrong with what a URL asks for. Nothing of the URL but these settings is ever shown.

use std::path::PathBuf;

/// Why a store is not connected to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It leads to another machine and does not say how the way there is protected.
    #[error(
        "its URL leads to another machine and does not say how the way there is protected: add \
         sslmode=verify-full&sslrootcert=FILE, or sslmode=disable to send everything in plain text, passwords included"
    )]
    Unsaid,
    /// A mode that protects less than it seems to.
    #[error(
        "sslmode={0} is not supported, because it does not make sure who answers: use sslmode=verify-full&sslrootcert=FILE, or \
         sslmode=disable for plain text"
    )]
    Mode(String),
    /// Certificates without a mode that uses them.
    #[error("{0} is of no use without sslmode=verify-full")]
    Unused(&'static str),
    /// TLS without anybody to trust.
    #[error(
        "sslmode=verify-full needs sslrootcert=FILE, or sslrootcert=system for the certificates this machine trusts"
    )]
    NoRoots,
    /// Half of a client's certificate.
    #[error("sslcert and sslkey belong together")]
    HalfAClient,
    /// The scheme of the URL and its `sslmode` contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The same setting twice: it is not for us to choose.
    #[error("{0} stands in the URL more than once")]
    Twice(&'static str),
    /// A file that is not there, or not what it should be.
    #[error("read {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// This machine trusts nobody, or cannot say whom.
    #[error("there are no certificates that this machine trusts: {0}")]
    System(String),
    /// Certificate and key do not fit each other, or are of a kind that is not supported.
    #[error("use the client's certificate")]
    Client(#[source] rustls::Error),
}

//! An authority, and certificates from it, in files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use tempfile::TempDir;

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// PEM file with the certificate.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Somebody who hands out certificates. The files are gone when it is dropped.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority, which nobody trusts yet.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("make a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign a certificate");
        let folder = tempfile::tempdir().expect("make a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("write a certificate");
        Self { folder, issuer }
    }

    /// PEM file with the authority's own certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A place for a file that goes with the authority.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a server on this machine; another one each time, in the same files.
    #[must_use]
    pub fn server(&self) -> Pair {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
                .expect("name a server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("server", params)
    }

    /// A certificate for a server that is reached by this host name or address only.
    #[must_use]
    pub fn server_named(&self, host: &str) -> Pair {
        let params = CertificateParams::new(vec![host.to_owned()]).expect("name a server");
        self.sign(host, params)
    }

    /// A certificate for the client of this name: its subject is `CN=<name>,O=Example`, and one of its names
    /// `spiffe://example/<name>`.
    #[must_use]
    pub fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://example/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("name a client"))];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, params)
    }

    /// The settings of a service with a certificate, whose clients may have one, and may do then what `rights` says.
    #[must_use]
    pub fn settings(&self, rights: &str) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let (server, rights_file) = (self.server(), self.path("rights.json"));
        write(&rights_file, rights);
        let flags = [
            ("--grpc-tls-cert-file", text(server.cert)),
            ("--grpc-tls-key-file", text(server.key)),
            ("--grpc-tls-client-ca-file", text(self.ca_file())),
            ("--grpc-tls-client-certificates", "optional".to_owned()),
            ("--access-certificates-file", text(rights_file)),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("make a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("sign a certificate");
        let pair = Pair {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        write(&pair.cert, &certificate.pem());
        write(&pair.key, &key.serialize_pem());
        pair
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("write a file");
}

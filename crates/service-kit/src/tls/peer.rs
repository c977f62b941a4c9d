//! What a client's certificate says of it.

use std::fmt::Write;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME,
    OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, OID_X509_STATE_OR_PROVINCE_NAME, Oid,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// The certificate that a client has proved to be its own, as far as it names the client. Found in the extensions of each of
/// its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its names in the order of the certificate, each with its kind: `dns:a.example`, `uri:spiffe://example/a`,
    /// `email:a@example`; and last the subject in the manner of RFC 4514, `subject:CN=a,O=Example`.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970. A connection may outlive it.
    pub not_after: i64,
}

impl PeerCertificate {
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()?;
        let mut names: Vec<String> = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(format!("dns:{name}")),
                GeneralName::URI(name) => Some(format!("uri:{name}")),
                GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
                _ => None,
            })
            .collect();
        names.extend(subject(certificate.subject()).map(|subject| format!("subject:{subject}")));
        Some(Self { names, not_after: certificate.validity().not_after.timestamp() })
    }
}

/// When a certificate ends, for people.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.to_string())
}

/// A subject as text, such that no two have the same: what separates is escaped within values. `None` if it is empty or has
/// something that is no text.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    for part in name.iter_rdn() {
        for (index, attribute) in part.iter().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            let kind = attribute.attr_type();
            match short_name(kind) {
                Some(short) => text.push_str(short),
                None => write!(text, "{kind}").ok()?,
            }
            text.push('=');
            for letter in attribute.as_str().ok()?.chars() {
                if ",+=\\\"<>;#".contains(letter) {
                    text.push('\\');
                }
                text.push(letter);
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    let known = [
        (OID_X509_COMMON_NAME, "CN"),
        (OID_X509_ORGANIZATION_NAME, "O"),
        (OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (OID_X509_COUNTRY_NAME, "C"),
        (OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (OID_X509_LOCALITY_NAME, "L"),
    ];
    known.into_iter().find_map(|(oid, short)| (oid == *kind).then_some(short))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: &str, organization: Option<&str>) -> PeerCertificate {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://example/a".try_into().unwrap()));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PeerCertificate::read(signed.der()).unwrap()
    }

    #[test]
    fn a_certificate_names_its_client_by_each_kind_of_name() {
        let names = certificate("a", Some("Example")).names;
        assert_eq!(names, ["dns:a.example", "uri:spiffe://example/a", "subject:CN=a,O=Example"]);
    }

    #[test]
    fn no_subject_can_be_written_so_that_it_reads_like_another() {
        let forged = certificate("a,O=Example", None).names;
        assert_eq!(forged.last().unwrap(), "subject:CN=a\\,O\\=Example");
    }
}

//! Client certificates: from a name in one to a caller, by a file of rights.
//!
//! ```json
//! {"callers": [
//!   {"certificate": "uri:spiffe://example/import", "scope": "write", "accounts": "*"},
//!   {"certificate": "subject:CN=teller,O=Example", "scope": "read write", "owners": ["acme"]}
//! ]}
//! ```

use std::collections::HashMap;

use serde::Deserialize;
use service_kit::reload::{FileError, Reloaded};
use service_kit::tls::PeerCertificate;

use crate::AccessArgs;
use crate::caller::{ACTOR_BYTES_MAX, Caller, Identity};
use crate::claims::{Accounts, Claims};

/// How names begin that a certificate can have.
const KINDS: [&str; 4] = ["dns:", "uri:", "email:", "subject:"];

/// Who has which certificate.
#[derive(Debug)]
pub(crate) struct Certificates {
    callers: Reloaded<HashMap<String, Caller>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    callers: Vec<Line>,
}

/// As the claims of a token; but here a word that is not known is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    certificate: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    accounts: Accounts,
    #[serde(default)]
    owners: Vec<String>,
}

impl Certificates {
    /// Those that settings name, if any.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) async fn begin(args: &AccessArgs) -> Result<Option<Self>, FileError> {
        let Some(file) = &args.access_certificates_file else { return Ok(None) };
        let callers = Reloaded::begin("rights of certificates", vec![file.clone()], |contents| {
            read(contents.first().map_or(&[], Vec::as_slice))
        });
        Ok(Some(Self { callers: callers.await? }))
    }

    /// Whose certificate it is: the first of its names that the file has counts. Nobody's after its end, although its
    /// connection goes on.
    pub(crate) fn caller(&self, certificate: &PeerCertificate, now: u64) -> Option<Caller> {
        named(&self.callers.get(), certificate, now)
    }
}

fn named(
    callers: &HashMap<String, Caller>,
    certificate: &PeerCertificate,
    now: u64,
) -> Option<Caller> {
    let last_second = u64::try_from(certificate.not_after).ok().filter(|end| now <= *end)?;
    let caller = certificate.names.iter().find_map(|name| callers.get(name))?;
    Some(caller.clone().ending(last_second.saturating_add(1)))
}

fn read(file: &[u8]) -> Result<HashMap<String, Caller>, String> {
    let file: File = serde_json::from_slice(file).map_err(|error| {
        format!("line {}, column {}: not as it should be", error.line(), error.column())
    })?;
    let mut callers = HashMap::new();
    for (index, line) in file.callers.into_iter().enumerate() {
        let Line { certificate, scope, accounts, owners } = line;
        let (number, claims) = (index + 1, Claims { scope, accounts, owners });
        let has_kind = KINDS
            .iter()
            .any(|kind| certificate.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        if !has_kind
            || certificate.len() > ACTOR_BYTES_MAX
            || certificate.chars().any(char::is_control)
        {
            return Err(format!(
                "caller {number}: certificate must be dns:, uri:, email: or subject: and a name, at most {ACTOR_BYTES_MAX} bytes"
            ));
        }
        let reach = claims.reach().map_err(|why| format!("caller {number}: {why}"))?;
        let (actor, scopes) = (Some(certificate.clone()), claims.scopes());
        let caller = Caller::new(Identity { actor, scopes, reach });
        if callers.insert(certificate, caller).is_some() {
            return Err(format!("caller {number}: its certificate stands there before"));
        }
    }
    Ok(callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_any_mistake_is_refused_whole() {
        for (mistake, named) in [
            ("", "line 1"),
            ("{}", "line 1"),
            (r#"{"callers": [], "extra": 1}"#, "line 1"),
            (r#"{"callers": [{"scope": "read"}]}"#, "line 1"),
            (r#"{"callers": [{"certificate": "CN=a"}]}"#, "caller 1"),
            (r#"{"callers": [{"certificate": "dns:"}]}"#, "caller 1"),
            (r#"{"callers": [{"certificate": "dns:a", "acounts": "*"}]}"#, "line 1"),
            (r#"{"callers": [{"certificate": "dns:a", "accounts": "a"}]}"#, "caller 1: accounts"),
            (r#"{"callers": [{"certificate": "dns:a"}, {"certificate": "dns:a"}]}"#, "caller 2"),
        ] {
            let why = read(mistake.as_bytes()).map(|_| mistake).unwrap_err();
            assert!(why.contains(named), "{mistake}: {why}");
        }
    }

    #[test]
    fn the_first_name_that_is_known_counts_until_the_certificate_ends() {
        let file = r#"{"callers": [
            {"certificate": "subject:CN=a", "scope": "read"},
            {"certificate": "uri:spiffe://example/a", "scope": "write", "owners": ["acme"]}
        ]}"#;
        let callers = read(file.as_bytes()).unwrap();
        let names = ["dns:unknown", "uri:spiffe://example/a", "subject:CN=a"].map(str::to_owned);
        let certificate = PeerCertificate { names: names.to_vec(), not_after: 1_000 };
        let found = named(&callers, &certificate, 1_000).unwrap();
        assert_eq!(found.actor(), Some("uri:spiffe://example/a"));
        assert_eq!(found.until(), Some(1_001), "a stream ends with it");
        assert!(named(&callers, &certificate, 1_001).is_none());
    }
}

//! Taking what is said about protection out of a URL: the drivers do not know these words, or mean less by them.

use std::{net::IpAddr, path::PathBuf};

use percent_encoding::percent_decode_str;

use crate::{Certificates, Error, Roots};

/// How the way to a store is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Nothing was said: plain text on this machine, and no way to another one.
    Unsaid,
    /// `sslmode=disable`.
    PlainText,
    /// `sslmode=verify-full`: TLS, with a certificate for the very host name in the URL.
    Verified(Certificates),
}

/// A URL in two parts.
#[derive(Clone)]
pub struct StoreUrl {
    /// What is left for the driver. Holds the password.
    pub rest: String,
    /// How the way is protected.
    pub protection: Protection,
}

impl StoreUrl {
    /// Takes the settings out of a URL. What is not a URL is left as it is.
    ///
    /// # Errors
    /// When the settings make no sense together.
    pub fn split(url: &str) -> Result<Self, Error> {
        let (before_fragment, fragment) = match url.find('#') {
            Some(at) if url.contains("://") => url.split_at(at),
            _ => (url, ""),
        };
        let Some((base, query)) = before_fragment.split_once('?').filter(|_| url.contains("://"))
        else {
            return Ok(Self { rest: url.to_owned(), protection: Protection::Unsaid });
        };
        let mut said = Said::default();
        let mut others = Vec::new();
        for pair in query.split('&') {
            if !said.take(pair)? {
                others.push(pair);
            }
        }
        let question = if others.is_empty() { "" } else { "?" };
        let rest = format!("{base}{question}{}{fragment}", others.join("&"));
        Ok(Self { rest, protection: said.protection()? })
    }
}

/// No password in logs.
impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreUrl").field("protection", &self.protection).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Said {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Said {
    /// Whether it was one of ours.
    fn take(&mut self, pair: &str) -> Result<bool, Error> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, place) = match name {
            "sslmode" => ("sslmode", &mut self.mode),
            "sslrootcert" => ("sslrootcert", &mut self.roots),
            "sslcert" => ("sslcert", &mut self.certificate),
            "sslkey" => ("sslkey", &mut self.key),
            _ => return Ok(false),
        };
        if place.is_some() {
            return Err(Error::Twice(name));
        }
        *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        Ok(true)
    }

    fn protection(self) -> Result<Protection, Error> {
        let given = [
            ("sslrootcert", self.roots.is_some()),
            ("sslcert", self.certificate.is_some()),
            ("sslkey", self.key.is_some()),
        ];
        let unused = given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name);
        match self.mode.as_deref() {
            Some("verify-full") => {}
            Some("disable") | None if unused.is_some() => {
                return Err(Error::Unused(unused.unwrap_or_default()));
            }
            Some("disable") => return Ok(Protection::PlainText),
            None => return Ok(Protection::Unsaid),
            Some(other) => return Err(Error::Mode(other.to_owned())),
        }
        let roots = match self.roots.as_deref() {
            None | Some("") => return Err(Error::NoRoots),
            Some("system") => Roots::System,
            Some(file) => Roots::File(PathBuf::from(file)),
        };
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(Error::HalfAClient),
        };
        Ok(Protection::Verified(Certificates { roots, client }))
    }
}

/// Whether what is sent to a host does not leave this machine.
#[must_use]
pub fn stays_here(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(query: &str) -> Result<Protection, String> {
        let url = format!("postgres://u:secret@db/x?{query}");
        StoreUrl::split(&url).map(|split| split.protection).map_err(|error| error.to_string())
    }

    #[test]
    fn the_driver_gets_the_url_without_what_is_ours() {
        for (url, rest) in [
            ("postgres://u:p@db/x", "postgres://u:p@db/x"),
            ("postgres://u:p@db/x?sslmode=disable", "postgres://u:p@db/x"),
            ("postgres://db/x?a=1&sslmode=disable&b=2", "postgres://db/x?a=1&b=2"),
            ("redis://db/0?sslmode=disable#f", "redis://db/0#f"),
            ("host=db sslmode=disable?x", "host=db sslmode=disable?x"),
        ] {
            assert_eq!(StoreUrl::split(url).unwrap().rest, rest, "{url}");
        }
    }

    #[test]
    fn there_are_two_ways_and_each_is_asked_for_by_name() {
        assert_eq!(protection("a=b"), Ok(Protection::Unsaid));
        assert_eq!(protection("sslmode=disable"), Ok(Protection::PlainText));
        let verified = protection("sslmode=verify-full&sslrootcert=%2Fa%20b.pem");
        let roots = Roots::File("/a b.pem".into());
        assert_eq!(verified, Ok(Protection::Verified(Certificates { roots, client: None })));
        let client = protection("sslmode=verify-full&sslrootcert=system&sslcert=c&sslkey=k");
        let wanted = Certificates { roots: Roots::System, client: Some(("c".into(), "k".into())) };
        assert_eq!(client, Ok(Protection::Verified(wanted)));
    }

    #[test]
    fn what_only_looks_like_protection_is_refused() {
        for (query, says) in [
            ("sslmode=require", "sslmode=require is not supported"),
            ("sslmode=prefer", "sslmode=prefer is not supported"),
            ("sslmode=verify-ca&sslrootcert=x", "sslmode=verify-ca is not supported"),
            ("sslmode=", "sslmode= is not supported"),
            ("sslmode=verify-full", "needs sslrootcert"),
            ("sslmode=verify-full&sslrootcert=", "needs sslrootcert"),
            ("sslmode=verify-full&sslrootcert=x&sslcert=y", "belong together"),
            ("sslrootcert=x", "sslrootcert is of no use"),
            ("sslmode=disable&sslcert=x", "sslcert is of no use"),
            ("sslmode=verify-full&sslrootcert=x&sslmode=disable", "more than once"),
        ] {
            let refused = protection(query).unwrap_err();
            assert!(refused.contains(says), "{query}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn only_loopback_stays_here() {
        for host in ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LocalHost"] {
            assert!(stays_here(host), "{host}");
        }
        for host in ["10.0.0.1", "db", "localhost.example.org", "0.0.0.0", "127.0.0.1.nip.io", ""] {
            assert!(!stays_here(host), "{host}");
        }
    }
}

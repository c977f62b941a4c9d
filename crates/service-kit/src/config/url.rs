//! Connection URLs whose credentials no log line shows.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

/// Shown instead of what cannot be told apart from a credential.
const REDACTED: &str = "(redacted)";

/// Declares a URL type. Reading one from text never fails: clap would print the text it could not
/// read, credentials and all. A client that cannot use the URL says so when it connects.
macro_rules! secret_url {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Takes the URL, unchecked.
            pub fn new(url: impl Into<String>) -> Self {
                Self(SecretString::from(url.into()))
            }

            /// The URL with its credentials, for the client that connects and for nothing else.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            /// Host, port and database, for logs.
            #[must_use]
            pub fn display_redacted(&self) -> String {
                redacted(self.expose())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.display_redacted())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.display_redacted())
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(url: &str) -> Result<Self, Infallible> {
                Ok(Self::new(url))
            }
        }
    };
}

secret_url! {
    /// Where the log's Postgres is, and the credentials for it.
    DatabaseUrl
}

secret_url! {
    /// Where the read model's Redis is, and the credentials for it.
    RedisUrl
}

/// What of a URL is safe to print. Whoever wrote a password with a slash or a question mark in it
/// unescaped must not find it in a log, so this keeps what follows the last `@`, and of that only
/// a part that looks like hosts, ports and a database name.
fn redacted(url: &str) -> String {
    let Some((_scheme, rest)) = url.split_once("://") else {
        return REDACTED.to_owned();
    };
    let place = match rest.rsplit_once('@') {
        Some((_credentials, place)) => place,
        // Without `@` a colon may still precede a password: a port is all digits.
        None if has_only_ports(rest) => rest,
        None => return REDACTED.to_owned(),
    };
    let end = place.find(['?', '#']).unwrap_or(place.len());
    let place = &place[..end];
    if place.is_empty() { "(default)".to_owned() } else { place.to_owned() }
}

/// Whether every colon of the authority begins a port (or stands in a bracketed address).
fn has_only_ports(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].split(',').all(|host| {
        let port = match host.rsplit_once(']') {
            Some((_address, port)) => port.strip_prefix(':'),
            None => host.split_once(':').map(|(_host, port)| port),
        };
        port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_database_are_shown() {
        for (url, shown) in [
            ("postgres://cf:secret@db:5432/ledger?application_name=x", "db:5432/ledger"),
            ("postgres://cf@db/ledger", "db/ledger"),
            ("postgres://db/ledger", "db/ledger"),
            ("postgres://cf:secret@one:5432,two:5433/ledger", "one:5432,two:5433/ledger"),
            ("postgres://[::1]:5432/ledger", "[::1]:5432/ledger"),
            ("postgresql:///ledger?host=/run/postgresql&password=secret", "/ledger"),
            ("redis://:secret@cache:6379/0", "cache:6379/0"),
            ("redis://cache", "cache"),
            ("redis://user:secret@", "(default)"),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }

    #[test]
    fn a_password_is_not_shown_however_it_is_written() {
        for url in [
            "postgres://cf:se/cret@db/ledger",
            "postgres://cf:se?cret@db/ledger",
            "postgres://cf:se@cret@db/ledger",
            "postgres://cf:secret",
            "redis://:secret",
            "host=db user=cf password=secret",
            "secret",
            "postgres://db/ledger?password=secret",
        ] {
            for printed in [
                DatabaseUrl::new(url).display_redacted(),
                format!("{:?}", DatabaseUrl::new(url)),
                format!("{}", RedisUrl::new(url)),
                format!("{:#?}", RedisUrl::new(url)),
            ] {
                assert!(!printed.contains("secret") && !printed.contains("cret"), "{printed}");
            }
        }
    }

    #[test]
    fn the_client_that_connects_gets_the_whole_url() {
        let url = "postgres://cf:secret@db:5432/ledger";
        assert_eq!(url.parse::<DatabaseUrl>().unwrap().expose(), url);
    }
}

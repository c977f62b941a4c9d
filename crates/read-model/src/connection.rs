//! One multiplexed connection that is replaced when it fails.
//!
//! Not the crate's own `ConnectionManager`: that one keeps a connection that timed out, or that leads to a
//! server that has become a replica, and makes every caller wait through its retries. Here a failed connection
//! is dropped at once, the next caller connects anew, and while that fails everybody else is told so without
//! waiting.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, ServerErrorKind, TlsCertificates,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2},
};
use store_tls::{Protection, StoreUrl};

use crate::Error;

/// Prefix of every key unless another one is set.
pub const DEFAULT_KEY_PREFIX: &str = "cf";

/// How long a failed connection attempt answers for everybody: callers in a row do not each wait for a time-out.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Requests that may wait to be put on the wire before callers wait for room. The crate's 50 is less than one
/// burst of queries.
const PIPELINE_BUFFER: usize = 1024;

/// Where the read model is and how long to wait for it.
#[derive(Clone)]
pub struct StoreConfig {
    /// `redis://`, `rediss://` or `unix://`; may hold a password. With what it says about TLS: see `store_tls`.
    pub redis_url: String,
    /// Prefix of every key, so that tests or stages can share a server.
    pub key_prefix: String,
    /// How long one request may take. The crate's own 500 ms is shorter than a fork of a large Redis.
    pub response_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl StoreConfig {
    /// This URL, and the defaults.
    #[must_use]
    pub fn new(redis_url: impl Into<String>) -> Self {
        Self {
            redis_url: redis_url.into(),
            key_prefix: DEFAULT_KEY_PREFIX.to_owned(),
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
        }
    }
}

/// No password in logs.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}

/// Shared by everybody in the process; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    client: Client,
    config: AsyncConnectionConfig,
    response_timeout: Duration,
    current: Mutex<Option<Numbered>>,
    /// Held while connecting; remembers the last failure.
    connecting: tokio::sync::Mutex<Option<(Instant, RedisError)>>,
    connections_made: AtomicU64,
}

#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

impl Connection {
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, Error> {
        let settings = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(Duration::from_secs(10)));
        let StoreUrl { rest, protection } =
            StoreUrl::split(&config.redis_url).map_err(Error::Unprotected)?;
        let address = rest.as_str().into_connection_info().map_err(Error::Url)?;
        let client = client(address.set_tcp_settings(settings), &protection)?;
        Ok(Self(Arc::new(Inner {
            client,
            config: AsyncConnectionConfig::new()
                .set_response_timeout(Some(config.response_timeout))
                .set_connection_timeout(Some(config.connect_timeout))
                .set_pipeline_buffer_size(PIPELINE_BUFFER),
            response_timeout: config.response_timeout,
            current: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(None),
            connections_made: AtomicU64::new(0),
        })))
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        doing: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        asked(doing, self.try_command(command)).await.map_err(|error| Error::redis(doing, error))
    }

    pub(crate) async fn try_command<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<T, RedisError> {
        let Numbered { number, mut connection } = self.current().await?;
        let outcome = command.query_async(&mut connection).await;
        outcome.inspect_err(|error| self.drop_if_broken(number, error))
    }

    /// Runs several commands in one round trip; not atomic unless the pipeline says so.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        doing: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        let answer = asked(doing, self.try_pipeline(pipeline)).await;
        answer.map_err(|error| Error::redis(doing, error))
    }

    pub(crate) async fn try_pipeline<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, RedisError> {
        let Numbered { number, mut connection } = self.current().await?;
        let outcome = pipeline.query_async(&mut connection).await;
        outcome.inspect_err(|error| self.drop_if_broken(number, error))
    }

    /// A connection of its own for subscriptions.
    pub(crate) async fn pubsub(&self) -> Result<redis::aio::PubSub, RedisError> {
        within(self.0.response_timeout, self.0.client.get_async_pubsub()).await
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }

    async fn current(&self) -> Result<Numbered, RedisError> {
        if let Some(current) = self.open() {
            return Ok(current);
        }
        let mut last_failure = self.0.connecting.lock().await;
        if let Some(current) = self.open() {
            return Ok(current); // somebody else connected while we waited for our turn
        }
        if let Some((at, error)) = &*last_failure
            && at.elapsed() < RETRY_AFTER
        {
            return Err(error.clone());
        }
        let made = self.0.client.get_multiplexed_async_connection_with_config(&self.0.config).await;
        let connection = made.inspect_err(|error| {
            *last_failure = Some((Instant::now(), error.clone()));
        })?;
        let number = self.0.connections_made.fetch_add(1, Ordering::Relaxed);
        let current = Numbered { number, connection };
        *self.slot() = Some(current.clone());
        Ok(current)
    }

    fn open(&self) -> Option<Numbered> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Numbered>> {
        // Nothing that holds it can panic halfway through a change.
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_if_broken(&self, number: u64, error: &RedisError) {
        if !is_broken(error) {
            return;
        }
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|current| current.number == number) {
            tracing::warn!(error = %error, "connection to Redis dropped");
            *slot = None;
        }
    }
}

/// Passes the failpoints before and after Redis is asked.
pub(crate) async fn asked<T>(
    doing: &'static str,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let lost = |_injected| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    failpoints::before(doing).map_err(lost)?;
    let answer = answer.await;
    failpoints::after(doing).await.map_err(lost)?;
    answer
}

/// Leads to Redis as the URL says: verified in full, or in plain text if it is asked for by name or does not leave this machine.
fn client(address: ConnectionInfo, protection: &Protection) -> Result<Client, Error> {
    use store_tls::Error::{Contradiction, NoRoots, Unsaid};
    let why_not = match (address.addr(), protection) {
        (ConnectionAddr::TcpTls { insecure: true, .. }, _) => {
            Contradiction("#insecure is not supported: it lets anybody answer")
        }
        (ConnectionAddr::TcpTls { .. }, Protection::Verified(certificates)) => {
            store_tls::use_ring();
            let pem = certificates.pem().map_err(Error::Unprotected)?;
            let client_tls = pem
                .client
                .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
            let certificates = TlsCertificates { client_tls, root_cert: pem.roots };
            return Client::build_with_tls(address, certificates).map_err(Error::Url);
        }
        (ConnectionAddr::TcpTls { .. }, Protection::Unsaid) => NoRoots,
        (ConnectionAddr::TcpTls { .. }, Protection::PlainText) => {
            Contradiction("rediss:// is never plain text: use redis:// for that")
        }
        (_, Protection::Verified(_)) => {
            Contradiction("sslmode=verify-full needs a URL that begins with rediss://")
        }
        (ConnectionAddr::Tcp(host, _), Protection::Unsaid) if !store_tls::stays_here(host) => {
            Unsaid
        }
        _ => return Client::open(address).map_err(Error::Url),
    };
    Err(Error::Unprotected(why_not))
}

/// Waits for an answer, but not longer than `patience`.
pub(crate) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(patience, answer).await.map_err(late)?
}

/// Whether a connection that gave this error is of no more use: it is gone, answers late, or leads to a server that
/// has become somebody's replica.
fn is_broken(error: &RedisError) -> bool {
    use redis::ErrorKind;
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.is_timeout()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Connection::new(&StoreConfig::new(url))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn plain_text_stays_on_this_machine_unless_it_is_asked_for_by_name() {
        for url in [
            "redis://127.0.0.1:6379/0",
            "redis://:secret@localhost",
            "redis://[::1]/0",
            "unix:///run/redis.sock",
            "redis://:secret@cache.example/0?sslmode=disable",
        ] {
            assert_eq!(refusal(url), "", "{url}");
        }
        for (url, says) in [
            ("redis://:secret@cache.example/0", "sslmode=verify-full"),
            ("redis://:secret@10.0.0.1", "sslmode=verify-full"),
            ("redis://:secret@127.0.0.1?sslmode=verify-full&sslrootcert=x", "rediss://"),
            ("rediss://:secret@cache.example/0", "needs sslrootcert"),
            ("rediss://:secret@cache.example/0?sslmode=disable", "never plain text"),
            (
                "rediss://:secret@cache.example/0?sslmode=require",
                "sslmode=require is not supported",
            ),
            ("rediss://:secret@cache.example/0#insecure", "#insecure is not supported"),
            (
                "rediss://:secret@cache.example/0?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
                "/nowhere/ca.pem",
            ),
        ] {
            let refused = refusal(url);
            assert!(refused.contains(says), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}

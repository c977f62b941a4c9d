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
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    ServerErrorKind,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2},
};

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
    /// `redis://` or `unix://`; may hold a password.
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
        let address = config.redis_url.as_str().into_connection_info().map_err(Error::Url)?;
        let client = Client::open(address.set_tcp_settings(settings)).map_err(Error::Url)?;
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

//! The servers that all tests of one process share.

use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{Error, Postgres, Redis};

static SERVERS: OnceLock<TestServers> = OnceLock::new();

/// One Postgres and one Redis per test process, started by the test that first needs them.
///
/// A test gets a database and a prefix of keys of its own, so tests run side by side. A test that flushes, kills or pauses
/// a server starts its own instead.
#[derive(Debug)]
pub struct TestServers {
    postgres: Postgres,
    redis: Redis,
    prefixes: AtomicU64,
}

impl TestServers {
    /// The servers, started now if need be: that blocks for a second or two.
    ///
    /// # Panics
    /// When they cannot be started: no test that needs them can pass.
    #[must_use]
    pub fn get() -> &'static Self {
        SERVERS.get_or_init(|| match start() {
            Ok(servers) => servers,
            Err(error) => panic!("the servers for tests do not start: {error}"),
        })
    }

    /// Makes a fresh, empty database and returns where to connect, as a superuser.
    ///
    /// # Panics
    /// When Postgres does not answer.
    pub async fn database(&self) -> String {
        let database = self.postgres.create_database().await;
        database.unwrap_or_else(|error| panic!("no database for this test: {error:?}"))
    }

    /// A program that came with Postgres, such as `pg_dump`.
    #[must_use]
    pub fn postgres_program(&self, name: &str) -> PathBuf {
        self.postgres.program(name)
    }

    /// Where the shared Redis is. Use it with [`TestServers::redis_prefix`], and never flush it.
    #[must_use]
    pub fn redis(&self) -> String {
        self.redis.url()
    }

    /// A prefix for keys that no other test has.
    #[must_use]
    pub fn redis_prefix(&self) -> String {
        format!("t{}", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }
}

fn start() -> Result<TestServers, Error> {
    // A runtime of its own, because the caller's may be a single thread that is waiting for us.
    let starting = thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(crate::error::io_error("start a runtime"))?;
        runtime.block_on(async {
            let (postgres, redis) =
                tokio::try_join!(Postgres::start_private(), Redis::start_private())?;
            Ok(TestServers { postgres, redis, prefixes: AtomicU64::new(1) })
        })
    });
    starting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

//! The Postgres and the Redis that everything is measured on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use dev_servers::{Postgres, Redis};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::{args::BenchArgs, cpu};

/// What makes an acknowledged write durable. Baselines and figures alike have it so.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];
/// Settings that are worth knowing beside a figure.
const SHOWN: [&str; 5] =
    ["shared_buffers", "max_wal_size", "wal_level", "wal_compression", "max_connections"];

/// Emptying a Redis of gigabytes takes a while.
const REDIS_TIMEOUT: Duration = Duration::from_secs(120);

/// Private servers with durable settings. They end with this process.
pub(crate) struct Servers {
    postgres: Postgres,
    redis: Redis,
    /// Where services keep their logs.
    pub(crate) folder: tempfile::TempDir,
    /// Where the services' programs are.
    pub(crate) programs: PathBuf,
}

/// A connection with the task that drives it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    _driver: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Servers {
    pub(crate) async fn start(args: &BenchArgs) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find our own executable")?;
        let beside = own.parent().map(Path::to_path_buf).unwrap_or_default();
        let programs = args.services.clone().unwrap_or(beside);
        for service in ["write-service", "projector", "read-service", "counterfoil"] {
            let program = programs.join(service);
            ensure!(
                program.is_file(),
                "{} is not there: build it with `make bench` or `cargo build --release --workspace`",
                program.display()
            );
        }
        let postgres = Postgres::start_private().await.context("start a private Postgres")?;
        let redis = Redis::start_private().await.context("start a private Redis")?;
        let folder = tempfile::tempdir().context("make a folder for logs")?;
        let servers = Self { postgres, redis, folder, programs };
        servers.apply(&args.postgres_settings).await?;
        let settings = servers.settings().await?;
        for name in DURABLE {
            ensure!(settings.get(name).is_some_and(|value| value == "on"), "{name} must be on");
        }
        Ok(servers)
    }

    /// Sets what the user wants to try, and restarts Postgres with it.
    async fn apply(&self, settings: &[String]) -> anyhow::Result<()> {
        if settings.is_empty() {
            return Ok(());
        }
        let connection = connect(&self.postgres.url()).await?;
        for setting in settings {
            let (name, value) =
                setting.split_once('=').context("--postgres takes SETTING=VALUE")?;
            let statement = format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''"));
            let set = connection.client.batch_execute(&statement).await;
            set.with_context(|| format!("set {setting}"))?;
        }
        drop(connection);
        self.postgres.restart().await.context("restart Postgres with other settings")
    }

    /// The settings that matter, as Postgres says them.
    pub(crate) async fn settings(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let connection = connect(&self.postgres.url()).await?;
        let mut settings = BTreeMap::new();
        for name in DURABLE.into_iter().chain(SHOWN) {
            let row = connection.client.query_one("SELECT current_setting($1)", &[&name]).await?;
            settings.insert(name.to_owned(), row.get(0));
        }
        Ok(settings)
    }

    /// What the servers say of themselves.
    pub(crate) async fn versions(&self) -> anyhow::Result<(String, String)> {
        let connection = connect(&self.postgres.url()).await?;
        let row = connection.client.query_one("SHOW server_version", &[]).await?;
        let redis = self.redis_info("server", "redis_version").await?;
        Ok((row.get(0), redis))
    }

    /// A fresh, empty database.
    pub(crate) async fn create_database(&self) -> anyhow::Result<String> {
        self.postgres.create_database().await.context("make a database")
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// Bytes that Redis uses for data, and what goes with it.
    pub(crate) async fn redis_memory(&self) -> anyhow::Result<u64> {
        let text = self.redis_info("memory", "used_memory").await?;
        text.parse().with_context(|| format!("understand {text}"))
    }

    pub(crate) async fn redis(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        let client = redis::Client::open(self.redis_url())?;
        // The crate's own half second is less than a large Redis needs for some commands.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(REDIS_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connection.context("connect to Redis")
    }

    /// Empties Redis.
    pub(crate) async fn flush_redis(&self) -> anyhow::Result<()> {
        let mut redis = self.redis().await?;
        redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.context("empty Redis")
    }

    async fn redis_info(&self, section: &str, field: &str) -> anyhow::Result<String> {
        let mut connection = self.redis().await?;
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await?;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.with_context(|| format!("Redis does not say its {field}"))?.to_owned())
    }

    /// What both have used so far.
    pub(crate) fn cpu(&self) -> cpu::CpuSeconds {
        let of = |pid: Option<u32>| pid.map_or(0.0, cpu::of_family);
        let postgres = of(self.postgres.pid());
        [("postgres".to_owned(), postgres), ("redis".to_owned(), of(self.redis.pid()))].into()
    }
}

/// Connects to a database of the private Postgres.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Connection> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connect to Postgres")?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Ok(Connection { client, _driver: driver })
}

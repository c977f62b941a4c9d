//! The whole system.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use dev_servers::{Postgres, Redis, free_port};
use ledger::ShardCount;
use proto::{
    read::read_service_client::ReadServiceClient, write::write_service_client::WriteServiceClient,
};
use tokio::process::Command;
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::{
    callers::{Callers, Credential},
    preload::Preload,
    process::{Process, binary_path, until},
    proxy::Proxy,
};

/// A service on this machine that does not take a connection by then does not listen.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A peer that is silent for so long is asked whether it is there, and given up when it is silent for so long again.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// A client of a write service.
pub type WriteClient = WriteServiceClient<InterceptedService<Channel, Credential>>;

/// How many of each.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Shards of the log.
    pub shards: i16,
    /// Write services.
    pub writers: usize,
    /// Projectors.
    pub projectors: usize,
    /// Read services.
    pub readers: usize,
}

impl Size {
    /// One of each.
    #[must_use]
    pub fn smallest(shards: i16) -> Self {
        Self { shards, writers: 1, projectors: 1, readers: 1 }
    }

    /// Two of each.
    #[must_use]
    pub fn doubled(shards: i16) -> Self {
        Self { shards, writers: 2, projectors: 2, readers: 2 }
    }
}

/// Everything, running.
#[derive(Debug)]
pub struct System {
    /// The log's Postgres, to be killed and restarted.
    pub postgres: Postgres,
    /// The read model's Redis, to be killed, restarted and flushed.
    pub redis: Redis,
    /// The log.
    pub database_url: String,
    /// The write services.
    pub writers: Vec<Process>,
    /// The projectors.
    pub projectors: Vec<Process>,
    /// The read services.
    pub readers: Vec<Process>,
    pub(crate) clients: Clients,
    /// The proxies on its links, if it has any.
    pub(crate) links: Links,
    /// What stands before its processes, if anything does.
    pub(crate) preload: Option<Preload>,
}

/// How a system is set up, if otherwise than plain.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// A proxy on every link.
    pub(crate) linked: bool,
    /// What stands before every process.
    pub(crate) preload: Option<Preload>,
    /// Whether the write services ask who calls.
    pub(crate) controls_access: bool,
}

/// A proxy on every link, by the number of the process at its near end. All empty in a system whose links are direct.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) client_writer: Vec<Proxy>,
    pub(crate) client_reader: Vec<Proxy>,
    pub(crate) writer_postgres: Vec<Proxy>,
    pub(crate) projector_postgres: Vec<Proxy>,
    pub(crate) projector_redis: Vec<Proxy>,
    pub(crate) reader_redis: Vec<Proxy>,
}

impl Links {
    /// All of them, with names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Proxy)> {
        let named = [
            ("client-writer", &self.client_writer),
            ("client-reader", &self.client_reader),
            ("writer-postgres", &self.writer_postgres),
            ("projector-postgres", &self.projector_postgres),
            ("projector-redis", &self.projector_redis),
            ("reader-redis", &self.reader_redis),
        ];
        named.into_iter().flat_map(|(name, links)| links.iter().map(move |link| (name, link)))
    }
}

/// Where the services are. A client connects when it is used, and again when its service was restarted.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    writer_addrs: Vec<String>,
    reader_addrs: Vec<String>,
    reader_starts: Vec<Arc<AtomicU64>>,
    /// Where the write services control access.
    callers: Option<Arc<Callers>>,
    credential: Credential,
}

impl Clients {
    /// Of the operator, who may do everything.
    fn of(callers: Option<Arc<Callers>>) -> Self {
        let credential = callers.as_ref().map(|callers| callers.operator()).unwrap_or_default();
        Self { callers, credential, ..Self::default() }
    }

    pub(crate) fn writers(&self) -> usize {
        self.writer_addrs.len()
    }

    pub(crate) fn readers(&self) -> usize {
        self.reader_addrs.len()
    }

    /// Host and port of every service: first those that write, then those that read.
    pub fn addrs(&self) -> impl Iterator<Item = &str> {
        self.writer_addrs.iter().chain(&self.reader_addrs).map(String::as_str)
    }

    /// How often a read service was started: its answers of one life are told from those of another by it.
    pub(crate) fn reader_starts(&self, number: usize) -> Arc<AtomicU64> {
        self.reader_starts[number].clone()
    }

    /// A client of one of the write services.
    #[must_use]
    pub fn write(&self, number: usize) -> WriteClient {
        let channel = channel(&self.writer_addrs[number % self.writer_addrs.len()]);
        WriteServiceClient::with_interceptor(channel, self.credential.clone())
    }

    /// The same services, for a caller with limited rights if access is controlled.
    pub(crate) fn of_customer(&self, number: u64) -> Self {
        let credential = self.callers.as_ref().map(|callers| callers.customer(number));
        Self { credential: credential.unwrap_or_default(), ..self.clone() }
    }

    /// Whether callers have to say who they are.
    pub(crate) fn controls_access(&self) -> bool {
        self.callers.is_some()
    }

    /// A client of one of the read services.
    #[must_use]
    pub fn read(&self, number: usize) -> ReadServiceClient<Channel> {
        ReadServiceClient::new(channel(&self.reader_addrs[number % self.reader_addrs.len()]))
    }
}

impl System {
    /// Starts it, and waits until it serves.
    pub async fn start(size: Size) -> Self {
        let redis = Redis::start_private().await.unwrap();
        Self::start_with(size, redis, Setup::default()).await
    }

    /// The same, set up otherwise, with a Redis that keeps its data in `redis_folder` if one is given.
    pub(crate) async fn start_as(size: Size, redis_folder: Option<&Path>, setup: Setup) -> Self {
        let redis = match redis_folder {
            Some(folder) => Redis::open(folder).await,
            None => Redis::start_private_with(preloaded(setup.preload.as_ref(), "redis")).await,
        };
        Self::start_with(size, redis.unwrap(), setup).await
    }

    async fn start_with(size: Size, redis: Redis, setup: Setup) -> Self {
        let Setup { linked, preload, controls_access } = setup;
        assert!(ShardCount::new(size.shards).is_some());
        let environment = preloaded(preload.as_ref(), "postgres");
        let postgres = Postgres::start_private_with(environment).await.unwrap();
        let database_url = postgres.create_database().await.unwrap();
        let mut system = Self {
            redis,
            database_url,
            writers: Vec::new(),
            projectors: Vec::new(),
            readers: Vec::new(),
            clients: Clients::of(controls_access.then(|| Arc::new(Callers::new()))),
            links: Links::default(),
            preload,
            postgres,
        };
        if linked {
            system.link_stores(size).await;
        }
        for number in 0..size.writers {
            let addr = system.start_writer(number, size.shards);
            let addr = match linked {
                true => link(&mut system.links.client_writer, &addr).await,
                false => addr,
            };
            system.clients.writer_addrs.push(addr);
            // The first one creates the log with its shards.
            system.until_writer_ready(number).await;
        }
        for number in 0..size.projectors {
            system.start_projector(number);
        }
        for number in 0..size.readers {
            let addr = system.start_reader(number);
            let addr = match linked {
                true => link(&mut system.links.client_reader, &addr).await,
                false => addr,
            };
            system.clients.reader_addrs.push(addr);
            system.clients.reader_starts.push(system.readers[number].starts());
        }
        system.until_reading().await;
        system
    }

    async fn link_stores(&mut self, size: Size) {
        let (postgres, redis) = (host(&self.database_url), host(&self.redis.url()));
        for _ in 0..size.writers {
            link(&mut self.links.writer_postgres, &postgres).await;
        }
        for _ in 0..size.projectors {
            link(&mut self.links.projector_postgres, &postgres).await;
            link(&mut self.links.projector_redis, &redis).await;
        }
        for _ in 0..size.readers {
            link(&mut self.links.reader_redis, &redis).await;
        }
    }

    fn start_writer(&mut self, number: usize, shards: i16) -> String {
        let addr = format!("127.0.0.1:{}", free_port().unwrap());
        let mut settings = vec![
            setting(
                "DATABASE_URL",
                through(self.links.writer_postgres.get(number), &self.database_url),
            ),
            setting("COUNTERFOIL_SHARDS", shards),
            setting("WRITE_SERVICE_LISTEN_ADDR", &addr),
            setting("WRITE_SERVICE_METRICS_ADDR", "127.0.0.1:0"),
            setting("WRITE_SERVICE_INSTANCE", format!("writer-{number}")),
        ];
        settings.extend(preloaded(self.preload.as_ref(), &format!("writer-{number}")));
        settings.extend(self.clients.callers.iter().flat_map(|callers| callers.settings()));
        self.writers.push(Process::start("write-service", &format!("writer-{addr}"), settings));
        addr
    }

    fn start_projector(&mut self, number: usize) {
        let database_url = through(self.links.projector_postgres.get(number), &self.database_url);
        let redis_url = through(self.links.projector_redis.get(number), &self.redis.url());
        let mut settings = projector_settings(&database_url, &redis_url);
        settings.extend(preloaded(self.preload.as_ref(), &format!("projector-{number}")));
        let name = format!("projector-{number}-{}", free_port().unwrap());
        self.projectors.push(Process::start("projector", &name, settings));
    }

    fn start_reader(&mut self, number: usize) -> String {
        let addr = format!("127.0.0.1:{}", free_port().unwrap());
        let mut settings = vec![
            setting("REDIS_URL", through(self.links.reader_redis.get(number), &self.redis.url())),
            setting("READ_SERVICE_LISTEN_ADDR", &addr),
            setting("READ_SERVICE_METRICS_ADDR", "127.0.0.1:0"),
        ];
        settings.extend(preloaded(self.preload.as_ref(), &format!("reader-{number}")));
        self.readers.push(Process::start("read-service", &format!("reader-{addr}"), settings));
        addr
    }

    /// Every process.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.writers.iter().chain(&self.projectors).chain(&self.readers)
    }

    /// Where its services are.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// A client of one of the write services.
    #[must_use]
    pub fn write_client(&self, number: usize) -> WriteClient {
        self.clients.write(number)
    }

    /// A client of one of the read services.
    #[must_use]
    pub fn read_client(&self, number: usize) -> ReadServiceClient<Channel> {
        self.clients.read(number)
    }

    /// Waits until a write service answers commands: a command that cannot be is refused by the log, not by the weather.
    pub async fn until_writer_ready(&self, number: usize) {
        let probe = proto::write::CloseAccountRequest {
            request_id: "0190163d-8694-739b-88c3-000000000001".into(),
            account_id: "no-such-account".into(),
        };
        until("the write service decides commands", || async {
            let answer = self.write_client(number).close_account(probe.clone()).await;
            answer.is_err_and(|status| status.code() == tonic::Code::NotFound)
        })
        .await;
    }

    /// Waits until every read service answers.
    pub async fn until_reading(&self) {
        for number in 0..self.readers.len() {
            until("the read service answers", || async {
                self.read_client(number)
                    .get_totals(proto::read::GetTotalsRequest::default())
                    .await
                    .is_ok()
            })
            .await;
        }
    }

    /// Runs `counterfoil` with arguments; gives its exit code and output.
    pub async fn counterfoil(&self, arguments: &[&str]) -> (i32, String) {
        counterfoil(&self.database_url, &self.redis.url(), arguments).await
    }

    /// Runs SQL as the owner of everything, past all privileges.
    pub async fn as_superuser(&self, sql: &str) -> Vec<tokio_postgres::SimpleQueryMessage> {
        as_superuser(&self.database_url, sql).await.unwrap()
    }

    /// Runs a command on Redis, past everything.
    pub async fn on_redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        on_redis(&self.redis.url(), command).await.unwrap()
    }
}

/// Runs `counterfoil`; gives its exit code and output.
pub(crate) async fn counterfoil(
    database_url: &str,
    redis_url: &str,
    arguments: &[&str],
) -> (i32, String) {
    let output = Command::new(binary_path("counterfoil"))
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .env("REDIS_URL", redis_url)
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// Runs SQL on a connection of its own.
pub(crate) async fn as_superuser(
    database_url: &str,
    sql: &str,
) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await?;
    // The connection ends by itself only when it is lost; then the query tells so.
    let mut connection = std::pin::pin!(futures::FutureExt::fuse(connection));
    let query = client.simple_query(sql);
    let mut query = std::pin::pin!(query);
    loop {
        tokio::select! {
            messages = &mut query => return messages,
            _ = &mut connection => {}
        }
    }
}

/// Runs a command on a connection of its own.
pub(crate) async fn on_redis<T: redis::FromRedisValue>(
    redis_url: &str,
    command: &[&str],
) -> redis::RedisResult<T> {
    let client = redis::Client::open(redis_url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut request = redis::cmd(command[0]);
    for argument in &command[1..] {
        request.arg(*argument);
    }
    request.query_async(&mut connection).await
}

/// A projector whose sweep is quick enough to be waited for.
pub(crate) fn projector_settings(database_url: &str, redis_url: &str) -> Vec<(String, String)> {
    vec![
        setting("DATABASE_URL", database_url),
        setting("REDIS_URL", redis_url),
        setting("PROJECTOR_METRICS_ADDR", "127.0.0.1:0"),
        setting("PROJECTOR_SWEEP_ACCOUNTS_PER_SECOND", 20_000),
    ]
}

/// Puts a proxy before an address; gives the address to use instead.
async fn link(links: &mut Vec<Proxy>, addr: &str) -> String {
    let addr: SocketAddr = addr.parse().unwrap();
    let proxy = Proxy::start(addr).await;
    let addr = proxy.addr.to_string();
    links.push(proxy);
    addr
}

/// Host and port of a URL.
pub(crate) fn host(url: &str) -> String {
    let behind = url.split_once("://").unwrap().1;
    let behind = behind.rsplit_once('@').map_or(behind, |(_, behind)| behind);
    behind.split('/').next().unwrap().to_owned()
}

/// The same URL through a proxy, if there is one.
fn through(proxy: Option<&Proxy>, url: &str) -> String {
    match proxy {
        Some(proxy) => url.replacen(&host(url), &proxy.addr.to_string(), 1),
        None => url.to_owned(),
    }
}

fn setting(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// A connection that notices by itself when nobody is at its other end any more.
fn channel(addr: &str) -> Channel {
    Channel::from_shared(format!("http://{addr}"))
        .unwrap()
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(ASK_AFTER)
        .keep_alive_timeout(ASK_AFTER)
        .keep_alive_while_idle(true)
        .connect_lazy()
}

/// What a process is started with so that a library stands before it, if one does.
fn preloaded(preload: Option<&Preload>, process: &str) -> Vec<(String, String)> {
    preload.map(|preload| preload.environment(process)).unwrap_or_default()
}

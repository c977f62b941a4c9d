//! The whole system.

use dev_servers::{Postgres, Redis};
use ledger::ShardCount;
use proto::{
    read::read_service_client::ReadServiceClient, write::write_service_client::WriteServiceClient,
};
use tokio::process::Command;
use tonic::transport::Channel;

use crate::process::{Process, binary_path, free_port, until};

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
    clients: Clients,
}

/// Where the services are. A client connects when it is used, and again when its service was restarted.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    writer_addrs: Vec<String>,
    reader_addrs: Vec<String>,
}

impl Clients {
    /// A client of one of the write services.
    #[must_use]
    pub fn write(&self, number: usize) -> WriteServiceClient<Channel> {
        WriteServiceClient::new(channel(&self.writer_addrs[number % self.writer_addrs.len()]))
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
        assert!(ShardCount::new(size.shards).is_some());
        let postgres = Postgres::start_private().await.unwrap();
        let redis = Redis::start_private().await.unwrap();
        let database_url = postgres.create_database().await.unwrap();
        let mut system = Self {
            redis,
            database_url,
            writers: Vec::new(),
            projectors: Vec::new(),
            readers: Vec::new(),
            clients: Clients::default(),
            postgres,
        };
        for number in 0..size.writers {
            let addr = system.start_writer(number, size.shards);
            system.clients.writer_addrs.push(addr);
            // The first one creates the log with its shards.
            system.until_writer_ready(number).await;
        }
        for number in 0..size.projectors {
            system.start_projector(number);
        }
        for number in 0..size.readers {
            let addr = system.start_reader(number);
            system.clients.reader_addrs.push(addr);
        }
        system.until_reading().await;
        system
    }

    fn start_writer(&mut self, number: usize, shards: i16) -> String {
        let addr = format!("127.0.0.1:{}", free_port());
        let settings = vec![
            setting("DATABASE_URL", &self.database_url),
            setting("COUNTERFOIL_SHARDS", shards),
            setting("WRITE_SERVICE_LISTEN_ADDR", &addr),
            setting("WRITE_SERVICE_METRICS_ADDR", "127.0.0.1:0"),
            setting("WRITE_SERVICE_INSTANCE", format!("writer-{number}")),
        ];
        self.writers.push(Process::start("write-service", &format!("writer-{addr}"), settings));
        addr
    }

    fn start_projector(&mut self, number: usize) {
        let settings = vec![
            setting("DATABASE_URL", &self.database_url),
            setting("REDIS_URL", self.redis.url()),
            setting("PROJECTOR_METRICS_ADDR", "127.0.0.1:0"),
            setting("PROJECTOR_SWEEP_ACCOUNTS_PER_SECOND", 2000),
        ];
        let name = format!("projector-{number}-{}", free_port());
        self.projectors.push(Process::start("projector", &name, settings));
    }

    fn start_reader(&mut self, _number: usize) -> String {
        let addr = format!("127.0.0.1:{}", free_port());
        let settings = vec![
            setting("REDIS_URL", self.redis.url()),
            setting("READ_SERVICE_LISTEN_ADDR", &addr),
            setting("READ_SERVICE_METRICS_ADDR", "127.0.0.1:0"),
        ];
        self.readers.push(Process::start("read-service", &format!("reader-{addr}"), settings));
        addr
    }

    /// Where its services are.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// A client of one of the write services.
    #[must_use]
    pub fn write_client(&self, number: usize) -> WriteServiceClient<Channel> {
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
        let output = Command::new(binary_path("counterfoil"))
            .args(arguments)
            .env("DATABASE_URL", &self.database_url)
            .env("REDIS_URL", self.redis.url())
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs SQL as the owner of everything, past all privileges.
    pub async fn as_superuser(&self, sql: &str) -> Vec<tokio_postgres::SimpleQueryMessage> {
        let (client, connection) =
            tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await.unwrap();
        let run = async { client.simple_query(sql).await.unwrap() };
        tokio::select! {
            messages = run => messages,
            _ = connection => panic!("the connection ended"),
        }
    }

    /// Runs a command on Redis, past everything.
    pub async fn on_redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut request = redis::cmd(command[0]);
        for argument in &command[1..] {
            request.arg(*argument);
        }
        request.query_async(&mut connection).await.unwrap()
    }
}

fn setting(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn channel(addr: &str) -> Channel {
    Channel::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

//! The service of a test, on free ports, and its client.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use proto::read::read_service_client::ReadServiceClient;
use read_service::{Config, ServeError, serve};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Serving;
use tonic_health::pb::health_client::HealthClient;

use super::{at_least, fresh_balance};

pub(crate) type Client = ReadServiceClient<Channel>;

/// Minor units, and what they include.
pub(crate) type Balance = Result<(i64, String), Status>;

/// A service, ended when dropped.
pub(crate) struct Service {
    pub(crate) client: Client,
    pub(crate) channel: Channel,
    pub(crate) addr: SocketAddr,
    pub(crate) metrics_addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: JoinSet<Result<(), ServeError>>,
}

impl Service {
    /// Serves, and is ready.
    pub(crate) async fn start(redis_url: &str, flags: &[&str]) -> Self {
        let service = Self::start_unready(redis_url, flags).await;
        service.until(Serving::Serving).await;
        service
    }

    /// Serves, whatever state Redis is in.
    pub(crate) async fn start_unready(redis_url: &str, flags: &[&str]) -> Self {
        let metrics_addr = free_addr().await;
        let metrics = metrics_addr.to_string();
        let always = ["read-service", "--redis-url", redis_url, "--metrics-addr", &metrics];
        let config = Config::try_parse_from(always.iter().chain(flags)).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, config, shutdown.clone()));
        let endpoint = Channel::from_shared(format!("http://{addr}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let client = ReadServiceClient::new(channel.clone());
        Self { client, channel, addr, metrics_addr, shutdown, tasks }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns when health says so.
    pub(crate) async fn until(&self, wanted: Serving) {
        let service = "counterfoil.read.v1.ReadService".to_owned();
        let mut health = HealthClient::new(self.channel.clone());
        let mut watch = health.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
        in_time(async {
            while let Some(state) = watch.message().await.unwrap() {
                if state.status() == wanted {
                    return;
                }
            }
            panic!("health ended before it said {wanted:?}");
        })
        .await;
    }

    /// Returns when the metrics show this line.
    pub(crate) async fn until_metric(&self, line: &str) {
        in_time(async {
            while !self.metrics().await.lines().any(|shown| shown == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Returns when the service hears the projector.
    pub(crate) async fn until_listening(&self, redis_url: &str) {
        let none = redis::Value::Array(Vec::new());
        in_time(async {
            while command(redis_url, &["PUBSUB", "CHANNELS"]).await == none {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Asks for a balance that includes this, in the background.
    pub(crate) fn waiting_balance(&self, id: &str, token: &str) -> JoinSet<Balance> {
        let mut client = self.client();
        let asked = fresh_balance(id, at_least(token));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let answer = client.get_balance(asked).await?.into_inner();
            Ok((answer.balance.unwrap().minor_units, answer.read.unwrap().as_of))
        });
        tasks
    }

    /// The metrics as text.
    pub(crate) async fn metrics(&self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.metrics_addr).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Ends it as SIGTERM would, and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

async fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// What should come to pass within moments, and fails if it does not in half a minute.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes too long")
}

/// Runs a Redis command that no client of ours has.
pub(crate) async fn command(redis_url: &str, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis_url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.unwrap()
}

/// What the only task of a set came to.
pub(crate) async fn joined<T: 'static>(mut tasks: JoinSet<T>) -> T {
    tasks.join_next().await.unwrap().unwrap()
}

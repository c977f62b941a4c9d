//! A world, a read model under a prefix of its own, and projectors between them.

use std::time::Duration;

use clap::Parser as _;
use dev_servers::TestServers;
use ledger::{ShardCount, StreamVersion};
use projector::{Config, Findings};
use read_model::{Generation, Reader, StoreConfig, View, Writer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Long enough for a slow machine; a test that is right never waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) store: StoreConfig,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// How projectors log in.
    projector_redis_url: String,
}

/// A projector in this process. Dropped like a process that is killed.
pub(crate) struct Running {
    task: JoinHandle<Result<(), projector::RunError>>,
    shutdown: CancellationToken,
    pub(crate) metrics_port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Asks it to stop, and waits.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Status and body of a GET at the metrics port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.metrics_port)).await;
        let Ok(mut stream) = connected else { return (0, String::new()) };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// A metric's value, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.get("/metrics").await;
        let of_name = |line: &&str| {
            line.strip_prefix("counterfoil_")
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let lines = body.lines().filter(of_name);
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Stage {
    /// On the shared servers. Projectors are Redis users who may do there what a projector may and nothing else.
    pub(crate) async fn new(shards: i16) -> Self {
        let servers = TestServers::get();
        let (redis_url, prefix) = (servers.redis(), servers.redis_prefix());
        let mut stage = Self::on(&redis_url, &prefix, World::new(shards).await).await;
        let [user, _] = read_model::acl_users(&prefix).unwrap();
        let name = format!("{prefix}-{}", user.name);
        let rules = user.rules.split(' ');
        stage
            .redis(&["ACL", "SETUSER", &name, ">word"].into_iter().chain(rules).collect::<Vec<_>>())
            .await;
        stage.projector_redis_url =
            redis_url.replacen("redis://", &format!("redis://{name}:word@"), 1);
        stage
    }

    pub(crate) async fn on(redis_url: &str, prefix: &str, world: World) -> Self {
        let mut store = StoreConfig::new(redis_url);
        store.key_prefix = prefix.to_owned();
        let reader = Reader::connect(&store).await.unwrap();
        let writer = Writer::connect(&store).await.unwrap();
        Self { world, store, reader, writer, projector_redis_url: redis_url.to_owned() }
    }

    pub(crate) fn config(&self, more: &[&str]) -> Config {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let metrics = format!("--metrics-addr={}", free.local_addr().unwrap());
        let always = [
            "projector",
            &format!("--database-url={}", self.world.database_url),
            &format!("--redis-url={}", self.projector_redis_url),
            &format!("--redis-key-prefix={}", self.store.key_prefix),
            &metrics,
            "--sweep-accounts-per-second=0",
            "--poll-interval-ms=20",
            "--refresh-interval-ms=50",
            "--recheck-interval-ms=100",
            "--head-interval-ms=50",
        ];
        // What is said last counts.
        let more = more.iter().map(|setting| setting.split_once('=').unwrap());
        let mut settings: Vec<String> = always.map(str::to_owned).to_vec();
        for (name, value) in more {
            settings.retain(|setting| !setting.starts_with(&format!("{name}=")));
            settings.push(format!("{name}={value}"));
        }
        Config::try_parse_from(settings).unwrap()
    }

    pub(crate) fn start(&self, more: &[&str]) -> Running {
        let config = self.config(more);
        let metrics_port = config.metrics_addr.port();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(projector::run(config, shutdown.clone()));
        Running { task, shutdown, metrics_port }
    }

    pub(crate) fn shards(&self) -> ShardCount {
        self.world.identity.shards
    }

    /// Waits until something holds; says what, if it never does.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "never: {what}; {:?}",
            self.reader.status(self.shards()).await
        );
    }

    /// Waits until every view shows all of the log.
    pub(crate) async fn caught_up(&self) {
        self.until("all views include all of the log", async || self.is_caught_up().await).await;
    }

    pub(crate) async fn is_caught_up(&self) -> bool {
        let Ok(status) = self.reader.status(self.shards()).await else { return false };
        status.iter().all(|status| {
            let checkpoint = status.visible.and_then(|visible| visible.checkpoint);
            checkpoint.is_some_and(|checkpoint| {
                checkpoint.log_id == self.world.identity.log_id
                    && checkpoint.position == self.world.head(status.shard)
            })
        })
    }

    pub(crate) async fn visible(&self, view: View) -> Generation {
        let status = self.reader.view_status(view, ledger::Shard::ZERO).await.unwrap();
        status.visible.unwrap().generation
    }

    /// What comparing all of the read model with the log finds wrong.
    pub(crate) async fn findings(&self) -> Vec<Findings> {
        let mut all = Vec::new();
        projector::verify(&self.world.database_url, &self.store, |verified| {
            assert!(verified.position.is_some(), "{:?} is not built", verified.view);
            all.push(verified.findings.clone());
        })
        .await
        .unwrap();
        all
    }

    /// The read model is right: by comparison with the log, key by key, and by what the world knows, query by query.
    pub(crate) async fn is_right(&self) {
        self.caught_up().await;
        for findings in self.findings().await {
            assert_eq!(findings.count, 0, "{:#?}", findings.mismatches);
        }
        let mut sums = [0; 3];
        for shard in self.world.shards() {
            for totals in self.reader.totals(shard).await.unwrap().value {
                sums[0] += totals.deposits;
                sums[1] += totals.withdrawals;
                sums[2] += totals.balances;
            }
        }
        let balances: i128 =
            self.world.accounts.values().map(|account| i128::from(account.state.balance)).sum();
        assert_eq!(sums, [self.world.deposits, self.world.withdrawals, balances]);
        for (id, known) in &self.world.accounts {
            let read = self.reader.accounts(known.shard, std::slice::from_ref(id)).await.unwrap();
            let view = read.value[0].as_ref().unwrap();
            assert_eq!((view.state, &view.opening), (known.state, &known.opening), "{id}");
            assert_eq!(self.statement(id).await, known.movements, "{id}");
        }
    }

    /// Version and balance after every entry, oldest first, read page by page.
    pub(crate) async fn statement(&self, id: &ledger::AccountId) -> Vec<(i64, i64)> {
        let shard = self.world.accounts[id].shard;
        let mut entries = Vec::new();
        let mut before: Option<StreamVersion> = None;
        loop {
            let page = self.reader.statement(shard, id, before, 7).await.unwrap().value.unwrap();
            let of_page = page.entries.iter();
            entries.extend(of_page.map(|entry| (entry.version.get(), entry.balance_after)));
            if page.next.is_none() {
                entries.reverse();
                return entries;
            }
            before = page.next;
        }
    }

    /// Runs one plain Redis command, as an operator would by hand.
    pub(crate) async fn redis(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.store.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.unwrap()
    }

    /// Sets a key to some bytes by hand.
    pub(crate) async fn set(&self, key: &str, value: &[u8]) {
        let client = redis::Client::open(self.store.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut set = redis::cmd("SET");
        let () = set.arg(key).arg(value).query_async(&mut connection).await.unwrap();
    }

    /// The names of all keys under the prefix that contain `part`.
    pub(crate) async fn keys(&self, part: &str) -> Vec<String> {
        let pattern = format!("{}:*{part}*", self.store.key_prefix);
        let keys = self.redis(&["KEYS", &pattern]).await;
        redis::FromRedisValue::from_redis_value(keys).unwrap()
    }
}

//! The running system as faults see it: everything can be harmed by several of them at once.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use dev_servers::{Postgres, Redis};
use proto::read::{self, ReadConsistency, read_consistency::Requirement};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tonic::Request;
use uuid::Uuid;

use super::tally::Tally;
use crate::{
    history::{Answer, Call, History, Work},
    model::{Command, Doing, Sum},
    oracles::{CONNECTIONS, Footprint, Recovery},
    preload::Preload,
    process::Process,
    system::{Clients, Links, System, as_superuser, on_redis},
    traffic::{Manners, Mischief, PROBE_ACCOUNT, Sender},
};

/// Longer than any time-out of the product and the pause that follows it; what takes longer has not come back.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// Reads have caught up when one that gives a token back takes less than this, writing included.
const CAUGHT_UP: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// The system, and what is known of the run.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) database_url: String,
    /// Held while something is done to a process.
    pub(crate) writers: Vec<Mutex<Process>>,
    pub(crate) projectors: Vec<Mutex<Process>>,
    pub(crate) readers: Vec<Mutex<Process>>,
    pub(crate) links: Links,
    pub(crate) preload: Option<Preload>,
    /// Held while something is done to a server or to any link.
    pub(crate) postgres_turn: Mutex<()>,
    pub(crate) redis_turn: Mutex<()>,
    pub(crate) links_turn: Mutex<()>,
    pub(crate) clients: Clients,
    pub(crate) history: Arc<History>,
    pub(crate) manners: Arc<Manners>,
    pub(crate) mischief: Arc<Mischief>,
    pub(crate) tally: Tally,
    /// Longest time that anything is held down.
    pub(crate) hold: Duration,
    /// Links are taken in turn, so that every one has its share.
    pub(crate) next_link: AtomicUsize,
    /// When a Redis that keeps what it is given has it written.
    pub(crate) fsync: &'static str,
}

impl Stage {
    pub(crate) fn new(
        system: System,
        history: Arc<History>,
        (manners, mischief): (Arc<Manners>, Arc<Mischief>),
        (hold, first_link, fsync): (Duration, usize, &'static str),
    ) -> Self {
        let all = |processes: Vec<Process>| processes.into_iter().map(Mutex::new).collect();
        Self {
            postgres: system.postgres,
            redis: system.redis,
            database_url: system.database_url,
            writers: all(system.writers),
            projectors: all(system.projectors),
            readers: all(system.readers),
            links: system.links,
            preload: system.preload,
            postgres_turn: Mutex::default(),
            redis_turn: Mutex::default(),
            links_turn: Mutex::default(),
            clients: system.clients,
            history,
            manners,
            mischief,
            tally: Tally::default(),
            hold,
            next_link: AtomicUsize::new(first_link),
            fsync,
        }
    }

    /// Every process with its name.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (String, &Mutex<Process>)> {
        let named =
            [("writer", &self.writers), ("projector", &self.projectors), ("reader", &self.readers)];
        named.into_iter().flat_map(|(name, processes)| {
            let numbered = processes.iter().enumerate();
            numbered.map(move |(number, process)| (format!("{name}-{number}"), process))
        })
    }

    /// The most memory in KiB and the open descriptors of every process, and of the stores their connections.
    pub(crate) async fn footprints(&self) -> Vec<(String, (u64, u64))> {
        let mut all = Vec::new();
        for (name, process) in self.processes() {
            if let Some(held) = process.lock().await.held_at_most() {
                all.push((name, held));
            }
        }
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        if let Ok(rows) = as_superuser(&self.database_url, count).await {
            let connections = rows.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
            all.push((format!("{CONNECTIONS}Postgres"), (0, connections.unwrap_or_default())));
        }
        if let Ok(told) = self.on_redis::<String>(&["INFO", "clients"]).await {
            let connections = told.lines().find_map(|line| line.strip_prefix("connected_clients:"));
            let connections = connections.and_then(|count| count.trim().parse().ok());
            all.push((format!("{CONNECTIONS}Redis"), (0, connections.unwrap_or_default())));
        }
        all
    }

    /// The same again, beside what it was.
    pub(crate) async fn grown_since(&self, before: &[(String, (u64, u64))]) -> Vec<Footprint> {
        let after = self.footprints().await;
        let beside = |(process, after): (String, (u64, u64))| {
            let (_, before) = before.iter().find(|(name, _)| *name == process)?;
            Some(Footprint { process, before: *before, after })
        };
        after.into_iter().filter_map(beside).collect()
    }

    /// A command on Redis, past all proxies.
    pub(crate) async fn on_redis<T: redis::FromRedisValue>(
        &self,
        command: &[&str],
    ) -> redis::RedisResult<T> {
        on_redis(&self.redis.url(), command).await
    }

    /// Lets Redis write what it is given when this run says. Whether it does.
    pub(crate) async fn set_fsync(&self) -> bool {
        let set = ["CONFIG", "SET", "appendfsync", self.fsync];
        let _: Result<String, _> = self.on_redis(&set).await; // what it says of itself counts
        let told = self.on_redis::<Vec<String>>(&["CONFIG", "GET", "appendfsync"]).await;
        told.is_ok_and(|told| told.get(1).is_some_and(|told| told == self.fsync))
    }

    /// Waits until the system works again, and writes down how long that took since now. Whether it does.
    pub(crate) async fn recover(&self, fault: &'static str) -> bool {
        let begun = Instant::now();
        let first_ok = timeout(RECOVERS_WITHIN, async {
            for writer in 0..self.writers.len() {
                self.acknowledged_by(writer).await;
            }
        });
        let first_ok = first_ok.await.ok().map(|()| begun.elapsed());
        let left = RECOVERS_WITHIN.saturating_sub(begun.elapsed());
        let caught_up = timeout(left, self.reads_have_caught_up());
        let caught_up = caught_up.await.ok().map(|()| begun.elapsed());
        self.tally.recovered(Recovery { fault, first_ok, caught_up });
        first_ok.is_some() && caught_up.is_some()
    }

    /// Until one write service acknowledges a command; gives its token.
    async fn acknowledged_by(&self, writer: usize) -> String {
        let sender = Sender::new(&self.clients, self.history.clone());
        let sum = Sum { currency: "EUR".into(), amount: 1 };
        let (account, doing) = (PROBE_ACCOUNT.to_owned(), Doing::Deposit(sum));
        let command = Command { account, doing, expected_version: None };
        let mut probe = Probe { call: Call::new(Uuid::now_v7(), Work::One(command)), stage: self };
        loop {
            let attempt = sender.attempt(&probe.call, writer, CAUGHT_UP).await;
            let applied = match &attempt.answer {
                Answer::Applied(done) => done.first().map(|done| {
                    let log_id = done.log_id.simple();
                    let places = done.places.iter();
                    let places = places.map(|(shard, position)| format!(".{shard}-{position}"));
                    format!("cf1.{log_id}{}", places.collect::<String>())
                }),
                _ => None,
            };
            probe.call.attempts.push(attempt);
            match applied {
                Some(token) => return token,
                None => sleep(PAUSE).await,
            }
        }
    }

    async fn reads_have_caught_up(&self) {
        loop {
            let begun = Instant::now();
            let token = self.acknowledged_by(0).await;
            let mut all = true;
            for reader in 0..self.readers.len() {
                all &= self.reads(reader, &token).await;
            }
            if all && begun.elapsed() < CAUGHT_UP {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether a read service shows what a token names, within a second.
    async fn reads(&self, reader: usize, token: &str) -> bool {
        let requirement = Some(Requirement::AtLeastAsFresh(token.to_owned()));
        let query = read::GetBalanceRequest {
            account_id: PROBE_ACCOUNT.into(),
            consistency: Some(ReadConsistency { requirement }),
        };
        let mut query = Request::new(query);
        query.set_timeout(CAUGHT_UP);
        let mut client = self.clients.read(reader);
        let answer = timeout(CAUGHT_UP * 2, client.get_balance(query)).await;
        answer.is_ok_and(|answer| answer.is_ok())
    }

    /// Undoes everything that may still be done to it.
    pub(crate) async fn heal(&self) {
        for (_, link) in self.links.all() {
            link.set(crate::proxy::Mode::Pass);
            link.cut_replies(0, "");
        }
        for (name, process) in self.processes() {
            let mut process = process.lock().await;
            process.signal("CONT").await;
            if !process.is_running() {
                self.tally.accident(format!("{name} ended by itself; its log: {}", process.log()));
                process.kill().await;
                process.restart();
            }
        }
    }
}

/// A call that is written down even if nobody waits for its end.
struct Probe<'a> {
    call: Call,
    stage: &'a Stage,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let call = Call::new(self.call.request_id, self.call.work.clone());
        self.stage.history.add(std::mem::replace(&mut self.call, call));
    }
}

//! Series: one kind of work at one concurrency, measured once in every round.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use anyhow::Context;
use futures::StreamExt;

use crate::{
    args::BenchArgs,
    baseline::Baseline,
    child::{NoopServer, generate},
    cpu::{self, CpuSeconds},
    load::{AppendWork, BaselineKind, BaselineWork, Job, LoadResult, Pace, Work, redis_key},
    sample::{LOAD_GENERATOR, Sample, Samples},
    servers::Servers,
    stage::{Size, Stage},
};

/// Among these is everybody's best concurrency.
pub(crate) const CALLERS: [u32; 4] = [1, 16, 64, 256];
/// So many accounts are hot where accounts are hot.
const HOT_ACCOUNTS: u32 = 10;
/// Balances per call of `BatchGetBalances`.
const BATCH: u32 = 100;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Deposit,
    DepositHot,
    Stream,
    Transfer,
    GetBalance,
    BatchGetBalances,
    ReadOwnWrite,
    NoopDeposit,
    NoopBalance,
    Insert,
    InsertNotify,
    Classic,
    ClassicStatement,
    ClassicHot,
    CqrsEs,
    /// Here callers are rows per append.
    Append,
    Row,
    Redis,
}

impl Subject {
    /// Its name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::DepositHot => "deposit_hot",
            Self::Stream => "stream",
            Self::Transfer => "transfer",
            Self::GetBalance => "get_balance",
            Self::BatchGetBalances => "batch_get_balances",
            Self::ReadOwnWrite => "read_own_write",
            Self::NoopDeposit => "noop (deposit)",
            Self::NoopBalance => "noop (balance)",
            Self::Insert => "insert",
            Self::InsertNotify => "insert_notify",
            Self::Classic => "classic",
            Self::ClassicStatement => "classic_statement",
            Self::ClassicHot => "classic_hot",
            Self::CqrsEs => "cqrs_es",
            Self::Append => "append",
            Self::Row => "row",
            Self::Redis => "redis",
        }
    }

    /// Of a baseline in Postgres, what it does, and the kind that its database is named by.
    fn baseline(self) -> Option<(BaselineKind, BaselineKind)> {
        use BaselineKind::{Classic, ClassicStatement, Insert, InsertNotify, Row};
        Some(match self {
            Self::Insert => (Insert, Insert),
            Self::InsertNotify => (InsertNotify, InsertNotify),
            Self::Classic | Self::ClassicHot => (Classic, Classic),
            Self::ClassicStatement => (ClassicStatement, Classic),
            Self::Row => (Row, Classic),
            _ => return None,
        })
    }

    /// Whether what is acknowledged has to be in the log.
    fn writes(self) -> bool {
        matches!(
            self,
            Self::Deposit | Self::DepositHot | Self::Stream | Self::Transfer | Self::ReadOwnWrite
        )
    }

    fn is_hot(self) -> bool {
        matches!(self, Self::DepositHot | Self::ClassicHot)
    }
}

/// One kind of work at one concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Series {
    // First, so that figure and baseline of the same concurrency are measured within the same minute.
    pub(crate) callers: u32,
    pub(crate) subject: Subject,
}

/// A Counterfoil and all baselines side by side.
pub(crate) struct Lab {
    pub(crate) stage: Stage,
    noop: NoopServer,
    /// Those that are needed, each in a database of its own, by the kind that names it.
    baselines: BTreeMap<BaselineKind, Baseline>,
    cqrs_es: Option<Baseline>,
    /// A log that nobody else writes to.
    log: Option<Baseline>,
    time: Duration,
    warm_up: Duration,
}

/// How long to work before counting: caches are warm and connections are made.
pub(crate) fn warm_up(args: &BenchArgs) -> Duration {
    (args.time() / 4).min(Duration::from_secs(1))
}

impl Lab {
    /// Starts a Counterfoil, and whatever the series need beside it.
    pub(crate) async fn start(
        servers: &Servers,
        args: &BenchArgs,
        series: &BTreeSet<Series>,
    ) -> anyhow::Result<Self> {
        let mut stage = Stage::fill(servers, Size::of(args.accounts)).await?;
        stage.fill_further(args.events).await?;
        stage.start_services().await?;
        stage.deposit_on_every_account().await?;
        let noop = NoopServer::start(&stage.answers().await?).await?;
        let mut baselines = BTreeMap::new();
        for (_, database) in series.iter().filter_map(|one| one.subject.baseline()) {
            if let Entry::Vacant(place) = baselines.entry(database) {
                place.insert(Baseline::create(servers, args.accounts, args.events).await?);
            }
        }
        let needs = |subject| series.iter().any(|one| one.subject == subject);
        let cqrs_es = match needs(Subject::CqrsEs) {
            true => Some(Baseline::create_cqrs_es(servers, args.accounts).await?),
            false => None,
        };
        let log = match needs(Subject::Append) {
            true => Some(Baseline::create_log(servers, args.accounts, args.events).await?),
            false => None,
        };
        if needs(Subject::Redis) {
            fill_redis(servers, args.accounts).await?;
        }
        Ok(Self { stage, noop, baselines, cqrs_es, log, time: args.time(), warm_up: warm_up(args) })
    }

    /// Stops everything.
    pub(crate) async fn end(self, servers: &Servers) -> anyhow::Result<()> {
        self.stage.end(servers).await
    }

    /// Measures all series, in turn, in every round.
    pub(crate) async fn measure_all(
        &mut self,
        servers: &Servers,
        series: &BTreeSet<Series>,
        rounds: u32,
    ) -> anyhow::Result<Samples> {
        let mut samples = Samples::default();
        for round in 1..=rounds {
            // Every other round the other way round, so that nothing always comes after the same.
            let mut in_turn: Vec<_> = series.iter().collect();
            if round % 2 == 0 {
                in_turn.reverse();
            }
            for one in in_turn {
                let sample = self.measure(servers, *one).await.with_context(|| {
                    format!("measure {} with {} callers", one.subject.name(), one.callers)
                })?;
                eprintln!(
                    "round {round}/{rounds}  {:18} {:4} callers  {:9.0}/s  p50 {:7.3} ms  p99 {:7.3} ms",
                    one.subject.name(),
                    one.callers,
                    sample.rate,
                    sample.latency.p50,
                    sample.latency.p99
                );
                samples.add(*one, sample);
            }
            self.stage.check_balances().await?;
        }
        Ok(samples)
    }

    /// Measures one series once.
    pub(crate) async fn measure(
        &mut self,
        servers: &Servers,
        series: Series,
    ) -> anyhow::Result<Sample> {
        let work = self.work(series)?;
        // One caller keeps many commands under way.
        let is_one = matches!(series.subject, Subject::Stream | Subject::Append);
        let callers = if is_one { 1 } else { series.callers };
        let pace = Pace::Closed { callers };
        let job = Job { work, pace, warm_up: self.warm_up, time: self.time };
        let before = self.cpu(servers);
        let result = generate(&job).await?;
        if series.subject.writes() {
            self.stage.acknowledge(&result);
            // Reading what was written is part of the work, and must not disturb what is measured next.
            self.stage.until_caught_up().await?;
        }
        let used = cpu::between(&before, &self.cpu(servers));
        Ok(sample(&result, used))
    }

    fn cpu(&self, servers: &Servers) -> CpuSeconds {
        let mut used = servers.cpu();
        used.extend(self.stage.cpu());
        used.insert("noop".to_owned(), self.noop.pid().map_or(0.0, cpu::of_process));
        used
    }

    fn work(&mut self, Series { subject, callers }: Series) -> anyhow::Result<Work> {
        let accounts = if subject.is_hot() { HOT_ACCOUNTS } else { self.stage.size.accounts };
        if let Some((kind, database)) = subject.baseline() {
            let baseline =
                self.baselines.get_mut(&database).context("the baseline is not there")?;
            let (url, first_version) = (baseline.url.clone(), baseline.versions());
            return Ok(Work::Baseline(BaselineWork { kind, url, accounts, first_version }));
        }
        let (write_addr, read_addr) = (self.stage.write_addr(), self.stage.read_addr());
        let noop_addr = self.noop.addr.clone();
        let deposit = |addr| Work::Deposit { addrs: vec![addr], first: 0, accounts, watch: None };
        let balance = |addr| Work::GetBalance { addr, first: 0, accounts };
        Ok(match subject {
            Subject::Deposit | Subject::DepositHot => deposit(write_addr),
            Subject::NoopDeposit => deposit(noop_addr),
            Subject::Stream => Work::Stream { addr: write_addr, accounts, outstanding: callers },
            Subject::Transfer => Work::Transfer { addr: write_addr, accounts },
            Subject::GetBalance => balance(read_addr),
            Subject::NoopBalance => balance(noop_addr),
            Subject::BatchGetBalances => {
                Work::BatchGetBalances { addr: read_addr, accounts, batch: BATCH }
            }
            Subject::ReadOwnWrite => Work::ReadOwnWrite { write_addr, read_addr, accounts },
            Subject::CqrsEs => {
                let database = self.cqrs_es.as_ref().context("cqrs-es has no database")?;
                Work::CqrsEs { url: database.url.clone(), accounts }
            }
            Subject::Append => {
                let log = self.log.as_mut().context("there is no log to append to")?;
                let (url, first_version) = (log.url.clone(), log.versions());
                Work::Append(AppendWork { url, accounts, first_version, rows: callers })
            }
            Subject::Redis => Work::Redis { url: self.stage.redis_url.clone(), keys: accounts },
            Subject::Insert
            | Subject::InsertNotify
            | Subject::Classic
            | Subject::ClassicStatement
            | Subject::ClassicHot
            | Subject::Row => anyhow::bail!("{} is a baseline", subject.name()),
        })
    }
}

/// A sample from what a load generator measured and what processes used meanwhile.
pub(crate) fn sample(result: &LoadResult, used: CpuSeconds) -> Sample {
    #[allow(clippy::cast_precision_loss, reason = "a count of operations is small")]
    let millions = result.operations_in_all.max(1) as f64 / 1e6;
    let mut cpu: CpuSeconds =
        used.into_iter().map(|(name, seconds)| (name, seconds / millions)).collect();
    cpu.insert(LOAD_GENERATOR.to_owned(), result.cpu_seconds / millions);
    Sample { rate: result.rate(), latency: result.latency.clone(), cpu_seconds_per_million: cpu }
}

/// The hashes that the baseline in Redis reads.
async fn fill_redis(servers: &Servers, keys: u32) -> anyhow::Result<()> {
    let connection = servers.redis().await?;
    let numbers: Vec<u32> = (0..keys).collect();
    let chunks = numbers.chunks(1000).map(|chunk| {
        let mut pipeline = redis::pipe();
        for number in chunk {
            let fields =
                [("version", "2"), ("balance", "1000000000"), ("held", "0"), ("currency", "EUR")];
            pipeline.hset_multiple(redis_key(*number), &fields).ignore();
        }
        let mut connection = connection.clone();
        async move { pipeline.query_async::<()>(&mut connection).await }
    });
    let mut filling = futures::stream::iter(chunks).buffer_unordered(4);
    while let Some(filled) = filling.next().await {
        filled.context("fill Redis for its baseline")?;
    }
    Ok(())
}

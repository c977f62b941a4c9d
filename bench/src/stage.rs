//! A Counterfoil of its own: a fresh database, fresh keys, and the services as their users have them.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use event_store::LogReader;
use futures::StreamExt;
use ledger::ShardCount;
use prost::Message;
use proto::{
    read,
    read::read_service_client::ReadServiceClient,
    types::Money,
    write::{
        self, command::Kind, command_result::Outcome, write_service_client::WriteServiceClient,
    },
};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::{
    cpu::{self, CpuSeconds},
    fill::Filler,
    load::{LoadResult, Watch, account_id},
    noop::Answers,
    servers::Servers,
    service::Service,
};

/// A read model that is still behind after so long has stopped.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1200);
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(5);
/// With more accounts than this, those that nothing was done to are not checked.
const CHECKED_MAX: usize = 1_000_000;
/// Most that `BatchGetBalances` and `ExecuteBatch` take.
const BATCH: usize = 1000;
const BATCHES_UNDER_WAY: usize = 4;
/// What a deposit is that only has to be one.
const SMALL: i64 = 5;

/// How large it is.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) accounts: u32,
    pub(crate) shards: i16,
    pub(crate) writers: usize,
    /// Whether accounts begin with money in them.
    pub(crate) is_funded: bool,
    /// Settings of the services beside their defaults.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Size {
    /// One of everything.
    pub(crate) fn of(accounts: u32) -> Self {
        Self { accounts, shards: 1, writers: 1, is_funded: true, settings: Vec::new() }
    }
}

/// A running one.
pub(crate) struct Stage {
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) key_prefix: String,
    pub(crate) size: Size,
    pub(crate) filler: Filler,
    /// What every account must hold, by number.
    pub(crate) balances: Vec<i64>,
    /// Accounts that commands were acknowledged of.
    touched: BTreeSet<u32>,
    programs: PathBuf,
    logs: PathBuf,
    pub(crate) writers: Vec<Service>,
    pub(crate) projector: Option<Service>,
    pub(crate) reader: Option<Service>,
}

impl Stage {
    /// Makes a log with its accounts, and starts the services.
    pub(crate) async fn start(servers: &Servers, size: Size) -> anyhow::Result<Self> {
        let mut stage = Self::fill(servers, size).await?;
        stage.start_services().await?;
        Ok(stage)
    }

    /// Makes a log with its accounts.
    pub(crate) async fn fill(servers: &Servers, size: Size) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let database_url = servers.create_database().await?;
        let shards = ShardCount::new(size.shards).context("number of shards")?;
        let mut filler = Filler::create(&database_url, shards).await?;
        filler.open_accounts(size.accounts).await?;
        if size.is_funded {
            filler.fund_accounts().await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("a log with {} accounts was made in {seconds:.1} s", size.accounts);
        let key_prefix = format!("b{}", Uuid::now_v7().simple());
        let logs = servers.folder.path().join(&key_prefix);
        std::fs::create_dir_all(&logs).context("make a folder for logs")?;
        Ok(Self {
            database_url,
            redis_url: servers.redis_url(),
            key_prefix,
            size,
            balances: filler.balances(),
            touched: BTreeSet::new(),
            filler,
            programs: servers.programs.clone(),
            logs,
            writers: Vec::new(),
            projector: None,
            reader: None,
        })
    }

    /// Starts all services and waits until the read model has all of the log.
    pub(crate) async fn start_services(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.start_writers().await?;
        self.start_reading().await?;
        eprintln!(
            "services are ready and have caught up after {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        Ok(())
    }

    pub(crate) async fn start_writers(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.size.writers {
            let writer = self.service("write-service", self.writers.len())?;
            self.writers.push(writer);
        }
        for writer in &mut self.writers {
            writer.until_ready().await?;
        }
        Ok(())
    }

    pub(crate) async fn start_reading(&mut self) -> anyhow::Result<()> {
        let projector = self.service("projector", 0)?;
        self.projector.insert(projector).until_ready().await?;
        let reader = self.service("read-service", 0)?;
        self.reader.insert(reader).until_ready().await?;
        self.until_caught_up().await
    }

    fn service(&self, name: &'static str, number: usize) -> anyhow::Result<Service> {
        let mut settings = vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
            ("REDIS_KEY_PREFIX", self.key_prefix.clone()),
        ];
        settings.extend(self.size.settings.iter().cloned());
        let log = self.logs.join(format!("{name}-{number}.log"));
        Service::start(name, &self.programs, log, &settings)
    }

    /// Deposits once on every account through every write-service: one that has been running for a while has its accounts in
    /// memory, and that is what is measured.
    pub(crate) async fn deposit_on_every_account(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for addr in self.write_addrs() {
            let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await;
            let writing = WriteServiceClient::new(channel.context("connect to the write service")?);
            let numbers: Vec<u32> = (0..self.size.accounts).collect();
            let batches = numbers.chunks(BATCH).map(|numbers| {
                let command = |number: &u32| write::Command {
                    kind: Some(Kind::Deposit(small_deposit(*number))),
                };
                let commands = numbers.iter().map(command).collect();
                let request = write::ExecuteBatchRequest {
                    mode: write::BatchMode::Independent.into(),
                    commands,
                    ..write::ExecuteBatchRequest::default()
                };
                let mut writing = writing.clone();
                async move { writing.execute_batch(request).await }
            });
            let mut answers = futures::stream::iter(batches).buffered(BATCHES_UNDER_WAY);
            while let Some(answer) = answers.next().await {
                for result in answer.context("deposit once on every account")?.into_inner().results
                {
                    let is_applied = matches!(result.outcome, Some(Outcome::Deposit(_)));
                    ensure!(is_applied, "a deposit of the warm-up was answered with {result:?}");
                }
            }
            self.balances.iter_mut().for_each(|balance| *balance += SMALL);
        }
        self.touched.extend(0..self.size.accounts);
        self.until_caught_up().await?;
        eprintln!("accounts are in memory after {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Makes so many more deposits past the services; no write-service may run meanwhile.
    pub(crate) async fn fill_further(&mut self, count: u32) -> anyhow::Result<()> {
        if !self.touched.is_empty() {
            self.filler.resume(&self.database_url, &self.balances).await?;
        }
        self.filler.deposit_uniformly(count).await?;
        self.balances = self.filler.balances();
        Ok(())
    }

    pub(crate) async fn stop_writers(&mut self) -> anyhow::Result<()> {
        for writer in self.writers.drain(..) {
            writer.stop().await?;
        }
        Ok(())
    }

    /// Stops all services.
    pub(crate) async fn stop_services(&mut self) -> anyhow::Result<()> {
        self.stop_writers().await?;
        for service in [self.reader.take(), self.projector.take()].into_iter().flatten() {
            service.stop().await?;
        }
        Ok(())
    }

    /// Stops everything, and forgets what Redis holds of it: the next figure needs the memory.
    pub(crate) async fn end(mut self, servers: &Servers) -> anyhow::Result<()> {
        self.stop_services().await?;
        servers.flush_redis().await
    }

    pub(crate) fn write_addr(&self) -> String {
        self.writers.first().map_or_else(String::new, |service| service.addr.to_string())
    }

    pub(crate) fn write_addrs(&self) -> Vec<String> {
        self.writers.iter().map(|service| service.addr.to_string()).collect()
    }

    pub(crate) fn read_addr(&self) -> String {
        self.reader.as_ref().map_or_else(String::new, |service| service.addr.to_string())
    }

    /// Where to watch the read model follow.
    pub(crate) fn watch(&self) -> Watch {
        Watch { redis_url: self.redis_url.clone(), key_prefix: self.key_prefix.clone() }
    }

    /// What each service has used so far.
    pub(crate) fn cpu(&self) -> CpuSeconds {
        let mut used = CpuSeconds::new();
        let services = self.writers.iter().chain(&self.projector).chain(&self.reader);
        for service in services {
            let seconds = service.pid().map_or(0.0, cpu::of_process);
            *used.entry(service.name.to_owned()).or_default() += seconds;
        }
        used
    }

    async fn reading(&self) -> anyhow::Result<ReadServiceClient<Channel>> {
        let channel =
            Endpoint::from_shared(format!("http://{}", self.read_addr()))?.connect().await;
        Ok(ReadServiceClient::new(channel.context("connect to the read service")?))
    }

    /// Waits until every view has all of the log.
    pub(crate) async fn until_caught_up(&self) -> anyhow::Result<()> {
        let log = LogReader::connect(&self.database_url, "counterfoil-bench").await?;
        let shards = log.identity().await?.shards;
        let mut heads = Vec::new();
        for shard in shards.shards() {
            heads.push(log.head(shard).await?.map_or(0, |head| head.link.position.get()));
        }
        let mut client = self.reading().await?;
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        loop {
            let status = client.get_read_model_status(read::GetReadModelStatusRequest::default());
            let views = status.await.map(|status| status.into_inner().views).unwrap_or_default();
            let has_all = |view: &read::ViewStatus| {
                let head = usize::try_from(view.shard).ok().and_then(|shard| heads.get(shard));
                head.is_some_and(|head| view.position >= *head)
            };
            if !views.is_empty() && views.iter().all(has_all) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the read model does not follow: {views:?}");
            }
            tokio::time::sleep(CATCH_UP_INTERVAL).await;
        }
    }

    /// Adds what a load generator's commands have moved.
    pub(crate) fn acknowledge(&mut self, result: &LoadResult) {
        for (account, moved) in &result.acknowledged {
            if let Some(balance) =
                usize::try_from(*account).ok().and_then(|index| self.balances.get_mut(index))
            {
                *balance += moved;
                self.touched.insert(*account);
            }
        }
    }

    /// Compares balances in the read model with what was acknowledged: all, or of very many those that were touched.
    pub(crate) async fn check_balances(&self) -> anyhow::Result<()> {
        self.until_caught_up().await?;
        let mut client = self.reading().await?;
        let mut numbered: Vec<(u32, i64)> = (0..).zip(self.balances.iter().copied()).collect();
        if numbered.len() > CHECKED_MAX {
            numbered.retain(|(number, _)| self.touched.contains(number));
        }
        for chunk in numbered.chunks(BATCH) {
            let account_ids = chunk.iter().map(|(number, _)| account_id(*number)).collect();
            let request = read::BatchGetBalancesRequest { account_ids, consistency: None };
            let answer = client.batch_get_balances(request).await.context("read balances")?;
            let balances = answer.into_inner().balances;
            ensure!(
                balances.len() == chunk.len(),
                "{} of {} balances",
                balances.len(),
                chunk.len()
            );
            for ((number, expected), balance) in chunk.iter().zip(balances) {
                let found = balance.balance.map_or(0, |money| money.minor_units);
                ensure!(
                    found == *expected && balance.account_id == account_id(*number),
                    "account {} holds {found}, but {expected} was acknowledged",
                    account_id(*number)
                );
            }
        }
        Ok(())
    }

    /// Compares balances of accounts that the stage did not make.
    pub(crate) async fn check_that_all_hold(
        &self,
        account_ids: Vec<String>,
        minor_units: i64,
    ) -> anyhow::Result<()> {
        self.until_caught_up().await?;
        let count = account_ids.len();
        let request = read::BatchGetBalancesRequest { account_ids, consistency: None };
        let answer = self.reading().await?.batch_get_balances(request).await?.into_inner();
        let held =
            answer.balances.iter().map(|it| it.balance.as_ref().map_or(0, |it| it.minor_units));
        let right = held.filter(|held| *held == minor_units).count();
        ensure!(right == count, "{right} of {count} accounts hold {minor_units}");
        Ok(())
    }

    /// One answer of each kind, for the server that does nothing.
    pub(crate) async fn answers(&mut self) -> anyhow::Result<Answers> {
        let channel =
            Endpoint::from_shared(format!("http://{}", self.write_addr()))?.connect().await;
        let mut writing = WriteServiceClient::new(channel.context("connect to the write service")?);
        let deposit = writing.deposit(small_deposit(0)).await.context("make a deposit")?;
        let deposit = deposit.into_inner();
        self.balances[0] += SMALL;
        let request = read::GetBalanceRequest { account_id: account_id(0), consistency: None };
        let balance = self.reading().await?.get_balance(request).await.context("read a balance")?;
        let balance = balance.into_inner().encode_to_vec();
        Ok(Answers { deposit: deposit.encode_to_vec(), balance })
    }
}

/// A deposit on an account, whatever its use.
fn small_deposit(account: u32) -> write::DepositRequest {
    let (currency_code, minor_units) = ("EUR".to_owned(), SMALL);
    write::DepositRequest {
        request_id: Uuid::now_v7().to_string(),
        account_id: account_id(account),
        amount: Some(Money { currency_code, minor_units, ..Money::default() }),
        reference: "incoming transfer".to_owned(),
        ..write::DepositRequest::default()
    }
}

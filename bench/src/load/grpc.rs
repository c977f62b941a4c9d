//! Callers of the services.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, ensure};
use proto::{
    read::{self, read_consistency::Requirement, read_service_client::ReadServiceClient},
    types::Money,
    write::{self, write_service_client::WriteServiceClient},
};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::{
    account::{Acknowledged, Dice, account_id},
    job::{Job, LoadResult, Watch, Work},
    lag::{Acks, Watcher},
    pace::{self, Caller},
    recorder::{Recorder, Window},
    texts::Texts,
};

/// Callers that share a connection: few enough that its calls do not wait for each other, many enough that what is sent at
/// once is sent together.
const CALLERS_PER_CONNECTION: u32 = 128;
/// Largest amount of a benchmark's command; accounts begin with much more.
const AMOUNT_MAX: u32 = 1000;

/// Does the job.
pub(super) async fn run(job: &Job) -> anyhow::Result<LoadResult> {
    match &job.work {
        Work::Deposit { addrs, first, accounts, watch } => {
            deposit(job, addrs, (*first, *accounts), watch.clone()).await
        }
        Work::Transfer { addr, accounts } => {
            let acknowledged = Acknowledged::new(*accounts);
            let mut callers = Vec::new();
            for channel in channels(std::slice::from_ref(addr), job.pace.callers()).await? {
                callers.push(Sender {
                    client: WriteServiceClient::new(channel),
                    orders: Orders::new(0, *accounts)?,
                    acknowledged: acknowledged.clone(),
                });
            }
            let result = pace::run(job, callers).await?;
            Ok(LoadResult { acknowledged: acknowledged.list(), ..result })
        }
        Work::GetBalance { addr, first, accounts } => {
            let channels = channels(std::slice::from_ref(addr), job.pace.callers()).await?;
            let callers = channels.into_iter().map(|channel| BalanceReader {
                client: ReadServiceClient::new(channel),
                dice: Dice::new(),
                first: *first,
                accounts: *accounts,
            });
            pace::run(job, callers.collect()).await
        }
        Work::BatchGetBalances { addr, accounts, batch } => {
            let channels = channels(std::slice::from_ref(addr), job.pace.callers()).await?;
            let callers = channels.into_iter().map(|channel| BatchReader {
                client: ReadServiceClient::new(channel),
                dice: Dice::new(),
                accounts: *accounts,
                batch: *batch,
            });
            pace::run(job, callers.collect()).await
        }
        Work::ReadOwnWrite { write_addr, read_addr, accounts } => {
            let acknowledged = Acknowledged::new(*accounts);
            let writes = channels(std::slice::from_ref(write_addr), job.pace.callers()).await?;
            let reads = channels(std::slice::from_ref(read_addr), job.pace.callers()).await?;
            let mut callers = Vec::new();
            for (write, read) in writes.into_iter().zip(reads) {
                callers.push(OwnWriteReader {
                    writer: WriteServiceClient::new(write),
                    reader: ReadServiceClient::new(read),
                    orders: Orders::new(0, *accounts)?,
                    acknowledged: acknowledged.clone(),
                });
            }
            let result = pace::run(job, callers).await?;
            Ok(LoadResult { acknowledged: acknowledged.list(), ..result })
        }
        Work::Stream { .. }
        | Work::Insist { .. }
        | Work::Baseline(_)
        | Work::Append(_)
        | Work::CqrsEs { .. }
        | Work::Redis { .. } => {
            anyhow::bail!("that is done elsewhere")
        }
    }
}

async fn deposit(
    job: &Job,
    addrs: &[String],
    (first, accounts): (u32, u32),
    watch: Option<Watch>,
) -> anyhow::Result<LoadResult> {
    let acknowledged = Acknowledged::new(first + accounts);
    let acks = watch.as_ref().map(|_| Acks::default());
    let mut callers = Vec::new();
    for channel in channels(addrs, job.pace.callers()).await? {
        callers.push(Depositor {
            client: WriteServiceClient::new(channel),
            orders: Orders::new(first, accounts)?,
            acknowledged: acknowledged.clone(),
            acks: acks.clone(),
        });
    }
    let watcher = match watch {
        Some(watch) => Some(Watcher::start(watch).await?),
        None => None,
    };
    let begin = Instant::now();
    let recorder = Recorder::new(Window::after(begin, job.warm_up, job.time));
    let mut result = pace::run_until(job, callers, &recorder, begin).await?;
    if let (Some(watcher), Some(acks)) = (watcher, acks) {
        result.lags = Some(watcher.finish(&acks, recorder.window()).await?);
    }
    Ok(LoadResult { acknowledged: acknowledged.list(), ..result })
}

/// A channel for each caller; callers are spread evenly over addresses, and share connections.
pub(super) async fn channels(addrs: &[String], callers: u32) -> anyhow::Result<Vec<Channel>> {
    let mut connections = Vec::new();
    for _ in 0..callers.div_ceil(CALLERS_PER_CONNECTION).max(1) {
        for addr in addrs {
            let endpoint = Endpoint::from_shared(format!("http://{addr}"))?;
            let connection = endpoint.connect().await;
            connections.push(connection.with_context(|| format!("connect to {addr}"))?);
        }
    }
    let callers = usize::try_from(callers).unwrap_or(usize::MAX);
    Ok(connections.iter().cycle().take(callers).cloned().collect())
}

/// What the next command is.
pub(super) struct Orders {
    dice: Dice,
    first: u32,
    accounts: u32,
    texts: Arc<Texts>,
}

impl Orders {
    pub(super) fn new(first: u32, accounts: u32) -> anyhow::Result<Self> {
        let texts = Arc::new(Texts::of_statements()?);
        Ok(Self { dice: Dice::new(), first, accounts, texts })
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u32) -> u32 {
        self.dice.roll(sides)
    }

    pub(super) fn deposit(&mut self) -> (u32, i64, write::DepositRequest) {
        let account = self.first + self.dice.roll(self.accounts);
        let amount = i64::from(self.dice.roll(AMOUNT_MAX)) + 1;
        let text = self.texts.get(self.dice.roll(u32::MAX));
        let request = write::DepositRequest {
            request_id: request_id(),
            account_id: account_id(account),
            amount: euros(amount),
            reference: text.reference.clone(),
            counterparty: text.counterparty.clone(),
            effective_time: None,
            expected_version: None,
        };
        (account, amount, request)
    }
}

/// Time-ordered, as the contract recommends.
fn request_id() -> String {
    Uuid::now_v7().to_string()
}

fn euros(minor_units: i64) -> Option<Money> {
    Some(Money { currency_code: "EUR".to_owned(), minor_units, display: String::new() })
}

struct Depositor {
    client: WriteServiceClient<Channel>,
    orders: Orders,
    acknowledged: Acknowledged,
    acks: Option<Acks>,
}

impl Caller for Depositor {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let (account, amount, request) = self.orders.deposit();
        let answer = self.client.deposit(request).await.context("Deposit")?.into_inner();
        if let Some(acks) = &self.acks {
            let write = answer.write.context("Deposit answered without metadata")?;
            acks.add(write.position, Instant::now());
        }
        self.acknowledged.add(account, amount);
        Ok(1)
    }
}

struct Sender {
    client: WriteServiceClient<Channel>,
    orders: Orders,
    acknowledged: Acknowledged,
}

impl Caller for Sender {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let (source, amount, deposit) = self.orders.deposit();
        let other = self.orders.dice.roll(self.orders.accounts - 1);
        let destination = if other < source { other } else { other + 1 };
        let request = write::TransferRequest {
            request_id: deposit.request_id,
            source_account_id: deposit.account_id,
            destination_account_id: account_id(destination),
            amount: deposit.amount,
            reference: deposit.reference,
            effective_time: None,
            expected_version: None,
        };
        self.client.transfer(request).await.context("Transfer")?;
        self.acknowledged.add(source, -amount);
        self.acknowledged.add(destination, amount);
        Ok(1)
    }
}

struct BalanceReader {
    client: ReadServiceClient<Channel>,
    dice: Dice,
    first: u32,
    accounts: u32,
}

impl Caller for BalanceReader {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let account_id = account_id(self.first + self.dice.roll(self.accounts));
        let request = read::GetBalanceRequest { account_id, consistency: None };
        self.client.get_balance(request).await.context("GetBalance")?;
        Ok(1)
    }
}

struct BatchReader {
    client: ReadServiceClient<Channel>,
    dice: Dice,
    accounts: u32,
    batch: u32,
}

impl Caller for BatchReader {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let account_ids = (0..self.batch).map(|_| account_id(self.dice.roll(self.accounts)));
        let account_ids: Vec<_> = account_ids.collect();
        let asked = account_ids.len();
        let request = read::BatchGetBalancesRequest { account_ids, consistency: None };
        let answer = self.client.batch_get_balances(request).await.context("BatchGetBalances")?;
        let got = answer.into_inner().balances.len();
        ensure!(got == asked, "BatchGetBalances answered {got} of {asked}");
        Ok(u64::from(self.batch))
    }
}

struct OwnWriteReader {
    writer: WriteServiceClient<Channel>,
    reader: ReadServiceClient<Channel>,
    orders: Orders,
    acknowledged: Acknowledged,
}

impl Caller for OwnWriteReader {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let (account, amount, request) = self.orders.deposit();
        let account_id = request.account_id.clone();
        let written = self.writer.deposit(request).await.context("Deposit")?.into_inner();
        let token = written.write.context("Deposit answered without metadata")?.consistency_token;
        let requirement = Some(Requirement::AtLeastAsFresh(token));
        let consistency = Some(read::ReadConsistency { requirement });
        let request = read::GetBalanceRequest { account_id, consistency };
        let seen = self.reader.get_balance(request).await.context("GetBalance")?.into_inner();
        let version = written.account.context("Deposit answered without the account")?.version;
        ensure!(seen.version >= version, "a read with a token did not see its write");
        self.acknowledged.add(account, amount);
        Ok(1)
    }
}

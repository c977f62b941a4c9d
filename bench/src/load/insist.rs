//! Callers who do what they are told when there is too much: wait as long as the answer says, longer each time, and ask again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use proto::write::write_service_client::WriteServiceClient;
use service_kit::error_details;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use super::{
    account::Acknowledged,
    grpc::{Orders, channels},
    job::{Job, LoadResult, Shed},
    pace::{self, Caller},
    recorder::Latencies,
};

/// Nobody waits longer than this before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Deposits until each is acknowledged.
pub(super) async fn run(job: &Job, addr: String, accounts: u32) -> anyhow::Result<LoadResult> {
    let acknowledged = Acknowledged::new(accounts);
    let attempts = Arc::new(Mutex::new(Attempts::new()));
    let mut callers = Vec::new();
    for channel in channels(&[addr], job.pace.callers()).await? {
        callers.push(Insister {
            client: WriteServiceClient::new(channel),
            orders: Orders::new(0, accounts)?,
            acknowledged: acknowledged.clone(),
            attempts: attempts.clone(),
        });
    }
    let result = pace::run(job, callers).await?;
    let attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let shed = Shed {
        count: attempts.shed_count,
        latency: attempts.shed.summary(),
        accepted: attempts.accepted.summary(),
    };
    Ok(LoadResult { acknowledged: acknowledged.list(), shed: Some(shed), ..result })
}

/// How long single calls took, by how they ended.
struct Attempts {
    accepted: Latencies,
    shed: Latencies,
    shed_count: u64,
}

impl Attempts {
    fn new() -> Self {
        Self { accepted: Latencies::new(), shed: Latencies::new(), shed_count: 0 }
    }
}

struct Insister {
    client: WriteServiceClient<Channel>,
    orders: Orders,
    acknowledged: Acknowledged,
    attempts: Arc<Mutex<Attempts>>,
}

impl Caller for Insister {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let (account, amount, request) = self.orders.deposit();
        let mut longer = 1;
        loop {
            let begun = Instant::now();
            let answer = self.client.deposit(request.clone()).await;
            let took = begun.elapsed();
            let status = match answer {
                Ok(_) => {
                    self.attempts().accepted.record(took);
                    self.acknowledged.add(account, amount);
                    return Ok(1);
                }
                Err(status) if status.code() == Code::ResourceExhausted => status,
                Err(status) => return Err(status).context("Deposit"),
            };
            let applied = error_details::metadata(&status).remove("applied");
            anyhow::ensure!(
                applied.as_deref() == Some("false"),
                "shed, but perhaps applied: {status}"
            );
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            let pause = retry.context("shed, but not told when to ask again")? * longer;
            {
                let mut attempts = self.attempts();
                attempts.shed.record(took);
                attempts.shed_count += 1;
            }
            longer = (longer * 2).min(64);
            // Not all at the same moment.
            let part = f64::from(self.orders.roll(1000)) / 1000.0;
            tokio::time::sleep(pause.min(PAUSE_MAX).mul_f64(0.5 + part)).await;
        }
    }
}

impl Insister {
    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

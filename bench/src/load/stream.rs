//! A caller of `ExecuteStream`: many commands under way on one stream.

use std::{collections::VecDeque, time::Instant};

use anyhow::{Context, bail};
use proto::write::{
    Command, CommandResult, ExecuteStreamRequest, ExecuteStreamResponse, command::Kind,
    command_result::Outcome, write_service_client::WriteServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    account::Acknowledged,
    grpc::{Orders, channels},
    job::{Job, LoadResult},
    pace::{self, Caller},
};

/// Does the job.
pub(super) async fn run(
    job: &Job,
    addr: String,
    accounts: u32,
    outstanding: u32,
) -> anyhow::Result<LoadResult> {
    let acknowledged = Acknowledged::new(accounts);
    let outstanding_max = usize::try_from(outstanding).unwrap_or(usize::MAX);
    let mut callers = Vec::new();
    for channel in channels(&[addr], job.pace.callers()).await? {
        let (commands, sent) = mpsc::channel(outstanding_max);
        let mut client = WriteServiceClient::new(channel);
        let answers = client.execute_stream(ReceiverStream::new(sent)).await;
        callers.push(Streamer {
            commands: Some(commands),
            answers: answers.context("ExecuteStream")?.into_inner(),
            outstanding: VecDeque::with_capacity(outstanding_max),
            outstanding_max,
            last_sent: None,
            orders: Orders::new(0, accounts)?,
            acknowledged: acknowledged.clone(),
        });
    }
    let result = pace::run(job, callers).await?;
    Ok(LoadResult { acknowledged: acknowledged.list(), ..result })
}

/// One stream, with as many commands under way as it may have.
struct Streamer {
    /// None when no more are sent.
    commands: Option<mpsc::Sender<ExecuteStreamRequest>>,
    answers: Streaming<ExecuteStreamResponse>,
    /// In the order sent, which is the order of answers.
    outstanding: VecDeque<(Instant, u32, i64)>,
    outstanding_max: usize,
    last_sent: Option<Instant>,
    orders: Orders,
    acknowledged: Acknowledged,
}

impl Caller for Streamer {
    async fn call(&mut self) -> anyhow::Result<u64> {
        while self.outstanding.len() < self.outstanding_max {
            let (account, amount, deposit) = self.orders.deposit();
            let command = Some(Command { kind: Some(Kind::Deposit(deposit)) });
            let commands = self.commands.as_ref().context("the stream is over")?;
            commands.send(ExecuteStreamRequest { command }).await.context("ExecuteStream")?;
            self.outstanding.push_back((Instant::now(), account, amount));
        }
        self.one_answered().await
    }

    fn sent(&self) -> Option<Instant> {
        self.last_sent
    }

    async fn finish(&mut self) -> anyhow::Result<u64> {
        self.commands = None;
        let mut operations = 0;
        while !self.outstanding.is_empty() {
            operations += self.one_answered().await?;
        }
        Ok(operations)
    }
}

impl Streamer {
    async fn one_answered(&mut self) -> anyhow::Result<u64> {
        let answer = self.answers.message().await.context("ExecuteStream")?;
        let (sent, account, amount) = self.outstanding.pop_front().context("an answer too many")?;
        match answer.context("the stream ended early")?.result {
            Some(CommandResult { outcome: Some(Outcome::Deposit(_)) }) => {}
            other => bail!("a deposit on a stream was answered with {other:?}"),
        }
        self.last_sent = Some(sent);
        self.acknowledged.add(account, amount);
        Ok(1)
    }
}

//! The nine rpcs. They differ only in their messages: each is validated, queued, and answered.

use std::{sync::Arc, time::Instant};

use ledger::{AccountId, Command, RequestId};
use proto::write::{self, write_service_server::WriteService};
use service_kit::{deadline::Deadline, error_details::ErrorStatus, log_limit::LogLimit};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use super::{
    request::{self, IntoCommand},
    response::FromApplied,
    status::{error_status, invalid},
};
use crate::{
    answer::{Applied, CommandError},
    metrics::{CommandLabels, Metrics},
    queue::CommandQueue,
    safety::Safety,
};

/// Header of W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// Longest trace context that is kept: the standard's own length.
const TRACEPARENT_BYTES_MAX: usize = 55;

/// The gRPC service.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) queue: CommandQueue,
    pub(crate) amount_max: i64,
    pub(crate) safety: watch::Receiver<Safety>,
    pub(crate) draining: tokio_util::sync::CancellationToken,
    pub(crate) metrics: Metrics,
    pub(crate) log_limit: Arc<LogLimit>,
}

impl Writer {
    async fn execute<Q, R>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
    ) -> Result<Response<R>, Status>
    where
        Q: IntoCommand + Default + PartialEq,
        R: FromApplied,
    {
        let begun = Instant::now();
        let deadline = Deadline::of(&request).map(Deadline::at);
        let trace_context = trace_context(&request);
        let (answer, about) = match request::command(request.into_inner(), self.amount_max) {
            Ok(command) => {
                let about = Some((command.request_id, command.account_id.clone()));
                (self.answer(command, trace_context, deadline).await, about)
            }
            Err(wrong) => (Err(invalid(&wrong)), None),
        };
        self.metrics.command_seconds.observe(begun.elapsed().as_secs_f64());
        let outcome = match &answer {
            Ok(applied) if applied.replayed => "replayed",
            Ok(_) => "applied",
            Err(error) => error.reason,
        };
        self.metrics.commands.get_or_create(&CommandLabels { command: rpc, outcome }).inc();
        self.log(rpc, outcome, about, &answer);
        answer
            .map(|applied| Response::new(R::from_applied(applied)))
            .map_err(ErrorStatus::into_status)
    }

    async fn answer(
        &self,
        command: Command,
        trace_context: Option<Vec<u8>>,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<Applied, ErrorStatus> {
        let account_id = command.account_id.clone();
        let credited = command.destination().unwrap_or(&account_id).clone();
        let status = |error: CommandError| error_status(&error, &account_id, &credited);
        if self.draining.is_cancelled() {
            return Err(status(CommandError::ShuttingDown));
        }
        if let Safety::Unsafe(why) = &*self.safety.borrow() {
            return Err(status(CommandError::LedgerUnsafe(why.clone())));
        }
        self.queue.execute(command, None, trace_context, deadline).await.map_err(status)
    }

    /// One line per outcome. What is as it should be, a caller's own mistakes and refusals by the rules included, is for
    /// `LOG_FILTER=info,write_service=debug`; what an operator has to know of is told of once a second and reason.
    fn log(
        &self,
        rpc: &'static str,
        outcome: &'static str,
        about: Option<(RequestId, AccountId)>,
        answer: &Result<Applied, ErrorStatus>,
    ) {
        let (request_id, account_id) = about.unzip();
        let request_id = request_id.map(tracing::field::display);
        let account_id = account_id.map(tracing::field::display);
        match answer {
            Ok(applied) => tracing::debug!(
                rpc,
                outcome,
                request.id = request_id,
                account.id = account_id,
                stream.version = applied.first.state.version.get(),
                shard = applied.first.shard.get(),
                position = applied.first.position.get(),
                "command answered"
            ),
            Err(error) => match error.code {
                Code::Unavailable
                | Code::DataLoss
                | Code::ResourceExhausted
                | Code::DeadlineExceeded => {
                    if let Some(untold) = self.log_limit.turn(outcome, Instant::now()) {
                        tracing::warn!(
                            rpc,
                            outcome,
                            request.id = request_id,
                            account.id = account_id,
                            untold,
                            error = error.message,
                            "command failed"
                        );
                    }
                }
                _ => tracing::debug!(
                    rpc,
                    outcome,
                    request.id = request_id,
                    account.id = account_id,
                    error = error.message,
                    "command refused"
                ),
            },
        }
    }
}

/// The trace that a call came in, to be stored with its events.
fn trace_context<Q>(request: &Request<Q>) -> Option<Vec<u8>> {
    let value = request.metadata().get(TRACEPARENT)?;
    (value.len() <= TRACEPARENT_BYTES_MAX).then(|| value.as_bytes().to_vec())
}

#[tonic::async_trait]
impl WriteService for Writer {
    async fn open_account(
        &self,
        request: Request<write::OpenAccountRequest>,
    ) -> Result<Response<write::OpenAccountResponse>, Status> {
        self.execute("OpenAccount", request).await
    }

    async fn deposit(
        &self,
        request: Request<write::DepositRequest>,
    ) -> Result<Response<write::DepositResponse>, Status> {
        self.execute("Deposit", request).await
    }

    async fn withdraw(
        &self,
        request: Request<write::WithdrawRequest>,
    ) -> Result<Response<write::WithdrawResponse>, Status> {
        self.execute("Withdraw", request).await
    }

    async fn pay_bill(
        &self,
        request: Request<write::PayBillRequest>,
    ) -> Result<Response<write::PayBillResponse>, Status> {
        self.execute("PayBill", request).await
    }

    async fn transfer(
        &self,
        request: Request<write::TransferRequest>,
    ) -> Result<Response<write::TransferResponse>, Status> {
        self.execute("Transfer", request).await
    }

    async fn set_overdraft_limit(
        &self,
        request: Request<write::SetOverdraftLimitRequest>,
    ) -> Result<Response<write::SetOverdraftLimitResponse>, Status> {
        self.execute("SetOverdraftLimit", request).await
    }

    async fn freeze_account(
        &self,
        request: Request<write::FreezeAccountRequest>,
    ) -> Result<Response<write::FreezeAccountResponse>, Status> {
        self.execute("FreezeAccount", request).await
    }

    async fn unfreeze_account(
        &self,
        request: Request<write::UnfreezeAccountRequest>,
    ) -> Result<Response<write::UnfreezeAccountResponse>, Status> {
        self.execute("UnfreezeAccount", request).await
    }

    async fn close_account(
        &self,
        request: Request<write::CloseAccountRequest>,
    ) -> Result<Response<write::CloseAccountResponse>, Status> {
        self.execute("CloseAccount", request).await
    }
}

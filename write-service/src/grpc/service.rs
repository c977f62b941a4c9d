//! The nine rpcs. They differ only in their messages: each is validated, queued, and answered.

use std::time::Instant;

use proto::write::{self, write_service_server::WriteService};
use service_kit::{deadline::Deadline, error_details::ErrorStatus};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{
    request::{self, IntoCommand},
    response::FromApplied,
    status::{error_status, invalid},
};
use crate::{
    answer::CommandError,
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
}

impl Writer {
    async fn execute<Q, R>(
        &self,
        command: &'static str,
        request: Request<Q>,
    ) -> Result<Response<R>, Status>
    where
        Q: IntoCommand,
        R: FromApplied,
    {
        let begun = Instant::now();
        let answer = self.answer(request).await;
        self.metrics.command_seconds.observe(begun.elapsed().as_secs_f64());
        let outcome = match &answer {
            Ok(applied) if applied.replayed => "replayed",
            Ok(_) => "applied",
            Err(error) => error.reason,
        };
        self.metrics.commands.get_or_create(&CommandLabels { command, outcome }).inc();
        match answer {
            Ok(applied) => {
                tracing::debug!(
                    command,
                    outcome,
                    account.id = %applied.first.opening.account_id,
                    stream.version = applied.first.state.version.get(),
                    shard = applied.first.shard.get(),
                    position = applied.first.position.get(),
                );
                Ok(Response::new(R::from_applied(applied)))
            }
            Err(error) => {
                tracing::debug!(command, outcome, code = ?error.code, message = error.message);
                Err(error.into_status())
            }
        }
    }

    async fn answer<Q: IntoCommand>(
        &self,
        request: Request<Q>,
    ) -> Result<crate::answer::Applied, ErrorStatus> {
        let deadline = Deadline::of(&request).map(Deadline::at);
        let trace_context = request
            .metadata()
            .get(TRACEPARENT)
            .filter(|value| value.len() <= TRACEPARENT_BYTES_MAX)
            .map(|value| value.as_bytes().to_vec());
        let command = request::command(request.into_inner(), self.amount_max)
            .map_err(|wrong| invalid(&wrong))?;
        let account_id = command.account_id.clone();
        let status = |error: CommandError| error_status(&error, &account_id);
        if self.draining.is_cancelled() {
            return Err(status(CommandError::ShuttingDown));
        }
        if let Safety::Unsafe(why) = &*self.safety.borrow() {
            return Err(status(CommandError::LedgerUnsafe(why.clone())));
        }
        self.queue.execute(command, None, trace_context, deadline).await.map_err(status)
    }
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

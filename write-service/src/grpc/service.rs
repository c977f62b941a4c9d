//! The rpcs. Those of one command differ only in their messages: each is validated, queued, and answered. What several commands
//! at once need beside that is in `batch` and `stream`.

use std::{sync::Arc, time::Instant};

use access::{Access, Caller};
use futures::stream::BoxStream;
use ledger::{AccountId, Command, RequestId};
use proto::write::{self, write_service_server::WriteService};
use service_kit::{
    deadline::Deadline,
    error_details::{Applied as WasApplied, ErrorStatus},
    log_limit::LogLimit,
    server::connection_number,
    shares::Party,
};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    permission::Permission,
    request::{self, IntoCommand},
    response::{FromApplied, Labels},
    status::{denied, error_status, invalid},
};
use crate::{
    answer::{Applied, CommandError},
    metrics::{CommandLabels, Metrics},
    queue::{CommandQueue, Lane, Origin, Outstanding, Place, Work},
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
    pub(crate) access: Access,
    pub(crate) amount_max: i64,
    pub(crate) safety: watch::Receiver<Safety>,
    pub(crate) draining: tokio_util::sync::CancellationToken,
    pub(crate) metrics: Metrics,
    pub(crate) log_limit: Arc<LogLimit>,
}

/// A command from its arrival to its answer.
pub(super) struct Call {
    rpc: &'static str,
    begun: Instant,
    /// What it is about, if it could be read.
    about: Option<(RequestId, AccountId)>,
}

impl Call {
    pub(super) fn begin(rpc: &'static str, command: Option<&Command>) -> Self {
        let about = command.map(|command| (command.request_id, command.account_id.clone()));
        Self { rpc, begun: Instant::now(), about }
    }
}

impl Writer {
    async fn execute<Q, R>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
    ) -> Result<Response<R>, Status>
    where
        Q: IntoCommand + Permission + Default + PartialEq,
        R: FromApplied,
    {
        let deadline = Deadline::of(&request).map(Deadline::at);
        let origin = origin(&request, &self.caller(&request).map_err(|refused| *refused)?, None);
        let asked = request.into_inner();
        let command = if asked.may_be_permitted(&origin.reach) {
            request::command(asked, self.amount_max).map_err(|wrong| invalid(&wrong))
        } else {
            Err(denied())
        };
        let call = Call::begin(rpc, command.as_ref().ok());
        let answer = match command {
            Ok(command) => {
                let named = Named::of(&command);
                match self.queue.places(origin.party, 1) {
                    Ok(places) => {
                        let submitted = self.submit(Work::Command(command), origin, places);
                        answer_one(submitted, &named, deadline).await
                    }
                    Err(refusal) => Err(named.status(&refusal.into())),
                }
            }
            Err(refused) => Err(refused),
        };
        self.finish(call, &answer);
        answer
            .map(|applied| Response::new(R::from_applied(applied, Labels::Shown)))
            .map_err(ErrorStatus::into_status)
    }

    /// Who sent a request.
    pub(super) fn caller<Q>(&self, request: &Request<Q>) -> Result<Caller, Box<ErrorStatus>> {
        self.access.caller(request).map_err(|refused| Box::new(refused.applied(WasApplied::No)))
    }

    /// Queues work, unless the service takes none now.
    pub(super) fn submit(
        &self,
        work: Work,
        origin: Origin,
        place: impl Into<Place>,
    ) -> Result<Outstanding, CommandError> {
        if self.draining.is_cancelled() {
            return Err(CommandError::ShuttingDown);
        }
        if let Safety::Unsafe(why) = &*self.safety.borrow() {
            return Err(CommandError::LedgerUnsafe(why.clone()));
        }
        self.queue.submit(work, origin, place)
    }

    /// Notes how a command ended, for operators.
    pub(super) fn finish(&self, call: Call, answer: &Result<Applied, ErrorStatus>) {
        let Call { rpc, begun, about } = call;
        self.metrics.command_seconds.observe(begun.elapsed().as_secs_f64());
        let outcome = match answer {
            Ok(applied) if applied.replayed => "replayed",
            Ok(_) => "applied",
            Err(error) => error.reason,
        };
        self.metrics.commands.get_or_create(&CommandLabels { command: rpc, outcome }).inc();
        self.log(rpc, outcome, about, answer);
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

/// The accounts that an error of a command may name.
pub(super) struct Named {
    account_id: AccountId,
    /// The same, or the destination of a transfer.
    credited: AccountId,
}

impl Named {
    pub(super) fn of(command: &Command) -> Self {
        let account_id = command.account_id.clone();
        let credited = command.destination().unwrap_or(&account_id).clone();
        Self { account_id, credited }
    }

    pub(super) fn status(&self, error: &CommandError) -> ErrorStatus {
        error_status(error, &self.account_id, &self.credited)
    }
}

/// The answer to a single command.
pub(super) async fn answer_one(
    submitted: Result<Outstanding, CommandError>,
    named: &Named,
    deadline: Option<tokio::time::Instant>,
) -> Result<Applied, ErrorStatus> {
    let answer = match submitted {
        Ok(outstanding) => outstanding.answer(deadline).await,
        Err(error) => Err(error),
    };
    let applied = answer.and_then(|applied| {
        applied.into_iter().next().ok_or(CommandError::OutcomeUnknown) // one command has one answer
    });
    applied.map_err(|error| named.status(&error))
}

/// Where a call comes from, to be stored with its events.
pub(super) fn origin<Q>(request: &Request<Q>, caller: &Caller, lane: Option<Lane>) -> Origin {
    let value = request.metadata().get(TRACEPARENT);
    let fits = value.filter(|value| value.len() <= TRACEPARENT_BYTES_MAX);
    Origin {
        party: Party::of(caller.actor(), connection_number(request)),
        actor: caller.actor().map(str::to_owned),
        reach: caller.reach().clone(),
        trace_context: fits.map(|value| value.as_bytes().to_vec()),
        lane,
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

    async fn execute_batch(
        &self,
        request: Request<write::ExecuteBatchRequest>,
    ) -> Result<Response<write::ExecuteBatchResponse>, Status> {
        let answer = self.batch(request).await;
        answer.map(Response::new).map_err(ErrorStatus::into_status)
    }

    type ExecuteStreamStream = BoxStream<'static, Result<write::ExecuteStreamResponse, Status>>;

    async fn execute_stream(
        &self,
        request: Request<Streaming<write::ExecuteStreamRequest>>,
    ) -> Result<Response<Self::ExecuteStreamStream>, Status> {
        let caller = self.caller(&request).map_err(|refused| *refused)?;
        Ok(Response::new(self.clone().stream(request, &caller)))
    }
}

//! `ExecuteBatch`: all commands or none, or each by itself.

use std::collections::HashSet;

use ledger::Command;
use proto::write::{BatchMode, ExecuteBatchRequest, ExecuteBatchResponse};
use service_kit::{deadline::Deadline, error_details::ErrorStatus};
use tokio::time::Instant;
use tonic::Request;

use super::{
    any_command::{CommandKind, any_command, atomic_command},
    permission::Permission,
    request::{Fields, Invalid, read},
    response,
    service::{Call, Named, Writer, answer_one, origin},
    status::{denied, invalid, no_place},
};
use crate::{
    answer::{Applied, CommandError},
    queue::{Lane, Origin, Outstanding, Work},
};

/// Where a batch comes from, and until when it is waited for.
struct Sent {
    origin: Origin,
    deadline: Option<Instant>,
}

impl Writer {
    pub(super) async fn batch(
        &self,
        request: Request<ExecuteBatchRequest>,
    ) -> Result<ExecuteBatchResponse, ErrorStatus> {
        let deadline = Deadline::of(&request).map(Deadline::at);
        let sent = Sent {
            origin: origin(&request, &self.caller(&request).map_err(|refused| *refused)?, None),
            deadline,
        };
        let batch = request.into_inner();
        let call = Call::begin("ExecuteBatch", None);
        let is_permitted = batch.mode() != BatchMode::Atomic
            || batch.commands.iter().all(|command| command.may_be_permitted(&sent.origin.reach));
        let answer = match checked_mode(&batch, self.amount_max, self.queue.call_commands_max()) {
            _ if !is_permitted => Err(denied()), // all or none
            Ok(Mode::Atomic) => self.atomic(batch, sent).await,
            Ok(Mode::Independent) => self.independent(batch, sent).await,
            Err(wrong) => Err(invalid(&wrong)),
        };
        // What became of each command is noted there; a batch of which nothing became is noted here.
        answer.inspect_err(|error| self.finish(call, &Err(error.clone())))
    }

    async fn atomic(
        &self,
        batch: ExecuteBatchRequest,
        sent: Sent,
    ) -> Result<ExecuteBatchResponse, ErrorStatus> {
        let (kinds, commands) =
            atomic_commands(batch, self.amount_max).map_err(|wrong| invalid(&wrong))?;
        let named: Vec<Named> = commands.iter().map(Named::of).collect();
        let calls =
            kinds.iter().zip(&commands).map(|(kind, command)| Call::begin(kind.rpc, Some(command)));
        let calls: Vec<Call> = calls.collect();
        let places = self.queue.places(sent.origin.party, commands.len());
        let submitted = places
            .map_err(Into::into)
            .and_then(|places| self.submit(Work::Atomic(commands), sent.origin, places));
        let answer = match submitted {
            Ok(outstanding) => outstanding.answer(sent.deadline).await,
            Err(error) => Err(error),
        };
        let applied = answer.map_err(|error| {
            let index = match error {
                CommandError::BatchRefused { index, .. } => index,
                _ => 0,
            };
            named[index].status(&error)
        })?;
        let consistency_token = response::token(&applied).unwrap_or_default();
        let results = kinds.into_iter().zip(calls).zip(applied).map(|((kind, call), applied)| {
            let answer = Ok(applied);
            self.finish(call, &answer);
            kind.result(answer)
        });
        Ok(ExecuteBatchResponse { results: results.collect(), consistency_token })
    }

    async fn independent(
        &self,
        batch: ExecuteBatchRequest,
        sent: Sent,
    ) -> Result<ExecuteBatchResponse, ErrorStatus> {
        let commands: Vec<_> = batch
            .commands
            .into_iter()
            .map(|command| any_command(Some(command), self.amount_max, &sent.origin.reach))
            .collect();
        refuse_duplicates(&commands).map_err(|wrong| invalid(&wrong))?;
        let count = commands.iter().filter(|(_, command)| command.is_ok()).count();
        let places = self.queue.places(sent.origin.party, count);
        let mut places = places.map_err(|refusal| no_place(&refusal))?;
        let origin = Origin { lane: Some(Lane::new()), ..sent.origin };
        // All are queued before the first is waited for.
        let under_way: Vec<_> = commands
            .into_iter()
            .map(|(kind, command)| {
                let call = Call::begin(kind.rpc, command.as_ref().ok());
                let submitted = command.map(|command| {
                    let named = Named::of(&command);
                    let place = places.take_one().expect("one was taken for each");
                    let submitted = self.submit(Work::Command(command), origin.clone(), place);
                    (named, submitted)
                });
                (kind, call, submitted)
            })
            .collect();
        let mut results = Vec::with_capacity(under_way.len());
        let mut all_applied = Vec::new();
        for (kind, call, submitted) in under_way {
            let answer = settle(submitted, sent.deadline).await;
            self.finish(call, &answer);
            all_applied.extend(answer.as_ref().ok().cloned());
            results.push(kind.result(answer));
        }
        let consistency_token = response::token(&all_applied).unwrap_or_default();
        Ok(ExecuteBatchResponse { results, consistency_token })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Atomic,
    Independent,
}

/// What is said of the batch as a whole.
pub(super) fn checked_mode(
    batch: &ExecuteBatchRequest,
    amount_max: i64,
    commands_max: usize,
) -> Result<Mode, Invalid> {
    let is_empty = *batch == ExecuteBatchRequest::default();
    let mode = read(amount_max, |fields| {
        let mode = match batch.mode() {
            BatchMode::Atomic => Some(Mode::Atomic),
            BatchMode::Independent if batch.request_id.is_empty() => Some(Mode::Independent),
            BatchMode::Independent => {
                let why = "must be unset: each command has its own";
                fields.wrong("request_id", "REQUEST_ID_UNEXPECTED", why)
            }
            BatchMode::Unspecified => {
                fields.wrong("mode", "ENUM_UNKNOWN", "must be one of the modes")
            }
        };
        if batch.commands.is_empty() {
            fields.wrong::<()>("commands", "BATCH_EMPTY", "must be one command at least");
        } else if batch.commands.len() > commands_max {
            let why = format!("must be at most {commands_max}");
            fields.wrong::<()>("commands", "BATCH_TOO_LARGE", why);
        }
        mode
    });
    mode.map_err(|wrong| Invalid { is_empty, ..wrong })
}

/// The answer to a command that was queued, or was not for a reason.
pub(super) async fn settle(
    submitted: Result<(Named, Result<Outstanding, CommandError>), ErrorStatus>,
    deadline: Option<Instant>,
) -> Result<Applied, ErrorStatus> {
    match submitted {
        Ok((named, submitted)) => answer_one(submitted, &named, deadline).await,
        Err(refused) => Err(refused),
    }
}

pub(super) fn atomic_commands(
    batch: ExecuteBatchRequest,
    amount_max: i64,
) -> Result<(Vec<CommandKind>, Vec<Command>), Invalid> {
    let ExecuteBatchRequest { request_id, commands, .. } = batch;
    read(amount_max, |fields| {
        let is_fine = fields.request_id(&request_id).is_some();
        let commands = commands.into_iter().enumerate().map(|(index, command)| {
            // Said once, not for each command.
            let request_id = if is_fine { &request_id } else { PLACEHOLDER };
            atomic_command(index, command, request_id, fields)
        });
        commands.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Stands for a request id that was wrong, while the rest is read.
const PLACEHOLDER: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// An id twice in one batch would make one of its commands the replay of another.
pub(super) fn refuse_duplicates<E>(
    commands: &[(CommandKind, Result<Command, E>)],
) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    let mut fields = Fields::new(0);
    for (index, (_, command)) in commands.iter().enumerate() {
        if let Ok(command) = command
            && !seen.insert(command.request_id)
        {
            let field = format!("commands[{index}].request_id");
            fields.wrong::<()>(&field, "REQUEST_ID_DUPLICATE", "stands in this batch before");
        }
    }
    fields.finish(Some(()))
}

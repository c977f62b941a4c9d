//! Sending calls, and writing down what came of each attempt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::stream;
use proto::write::{
    self, BatchMode, ExecuteBatchRequest, ExecuteStreamRequest, command::Kind,
    command_result::Outcome,
};
use tokio::time::{sleep, timeout};
use tonic::{Request, Status};
use uuid::Uuid;

use super::{answers, requests::message};
use crate::{
    history::{Answer, Attempt, Call, Ending, History, Work},
    model::Command,
    system::{Clients, WriteClient},
};

/// How long one attempt may take while somebody waits for an outcome.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(3);
/// A call that our own clock gives up is given up a little after the service should have.
const GRACE: Duration = Duration::from_millis(500);
/// Pause before asking again.
const PAUSE: Duration = Duration::from_millis(25);

/// Batches and streams, numbered.
static LANES: AtomicU64 = AtomicU64::new(1);

/// How several commands are sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    Batch,
    Stream,
}

/// One client with connections of its own to every write service.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    writers: Vec<WriteClient>,
    pub(super) history: Arc<History>,
}

impl Sender {
    pub(crate) fn new(clients: &Clients, history: Arc<History>) -> Self {
        let writers = (0..clients.writers()).map(|number| clients.write(number)).collect();
        Self { writers, history }
    }

    pub(super) fn writer(&self, number: usize) -> WriteClient {
        self.writers[number % self.writers.len()].clone()
    }

    /// Sends it to one service. Dropped on its way, it leaves no trace in the call: see [`Sender::gave_up`].
    pub(crate) async fn attempt(&self, call: &Call, writer: usize, within: Duration) -> Attempt {
        let sent = self.history.now();
        let answer = timeout(within + GRACE, self.send(call, writer, within)).await;
        let (answer, token) = answer.unwrap_or_else(|_| (gave_up(), None));
        if let Some(token) = token {
            self.history.note_token(&token);
        }
        Attempt { sent, ended: self.history.now(), lane: None, answer }
    }

    /// What is known of an attempt that its caller has given up.
    pub(super) fn gave_up(&self, sent: Duration) -> Attempt {
        Attempt { sent, ended: self.history.now(), lane: None, answer: gave_up() }
    }

    /// Asks once at least, and then until the outcome is known or `patience` ends.
    pub(crate) async fn ask_again(&self, call: &mut Call, first: usize, patience: Duration) {
        call.attempts.push(self.attempt(call, first, ATTEMPT_WITHIN).await);
        self.until_resolved(call, first + 1, patience).await;
    }

    /// Asks, wherever somebody answers, until the outcome is known or `patience` ends.
    pub(crate) async fn until_resolved(&self, call: &mut Call, first: usize, patience: Duration) {
        let begun = self.history.now();
        let mut writer = first;
        let open = |call: &Call| {
            let last = call.attempts.last();
            call.ending() == Ending::Unresolved || last.is_none_or(|last| last.answer.is_shed())
        };
        while open(call) && self.history.now() - begun < patience {
            call.attempts.push(self.attempt(call, writer, ATTEMPT_WITHIN).await);
            if open(call) {
                writer += 1;
                sleep(PAUSE).await;
            }
        }
    }

    async fn send(&self, call: &Call, writer: usize, within: Duration) -> (Answer, Option<String>) {
        match &call.work {
            Work::One(command) => {
                answers::answer(self.unary(command, call.request_id, writer, within).await)
            }
            Work::Atomic(commands) => {
                let commands = commands.iter().map(|command| any(message(command, None)));
                let mut request = Request::new(ExecuteBatchRequest {
                    mode: BatchMode::Atomic.into(),
                    request_id: call.request_id.to_string(),
                    commands: commands.collect(),
                });
                request.set_timeout(within);
                match self.writer(writer).execute_batch(request).await {
                    Ok(answer) => answers::batch_answer(answer.into_inner().results),
                    Err(status) => (answers::refusal(&status), None),
                }
            }
        }
    }

    async fn unary(
        &self,
        command: &Command,
        request_id: Uuid,
        writer: usize,
        within: Duration,
    ) -> Result<Outcome, Status> {
        let mut client = self.writer(writer);
        macro_rules! call {
            ($method:ident, $message:expr, $outcome:ident) => {{
                let mut request = Request::new($message);
                request.set_timeout(within);
                Ok(Outcome::$outcome(client.$method(request).await?.into_inner()))
            }};
        }
        match message(command, Some(request_id)) {
            Kind::OpenAccount(message) => call!(open_account, message, OpenAccount),
            Kind::Deposit(message) => call!(deposit, message, Deposit),
            Kind::Withdraw(message) => call!(withdraw, message, Withdraw),
            Kind::PayBill(message) => call!(pay_bill, message, PayBill),
            Kind::Transfer(message) => call!(transfer, message, Transfer),
            Kind::SetOverdraftLimit(message) => {
                call!(set_overdraft_limit, message, SetOverdraftLimit)
            }
            Kind::FreezeAccount(message) => call!(freeze_account, message, FreezeAccount),
            Kind::UnfreezeAccount(message) => call!(unfreeze_account, message, UnfreezeAccount),
            Kind::CloseAccount(message) => call!(close_account, message, CloseAccount),
        }
    }

    /// Sends several commands together, each with an id of its own; gives each its attempt.
    pub(super) async fn together(
        &self,
        calls: &mut [Call],
        way: Together,
        writer: usize,
        within: Duration,
    ) {
        let lane = LANES.fetch_add(1, Ordering::Relaxed);
        let sent = self.history.now();
        let commands: Vec<write::Command> = calls
            .iter()
            .map(|call| any(message(&call.work.commands()[0], Some(call.request_id))))
            .collect();
        let mut answers: Vec<(Duration, Answer)> = Vec::new();
        let ended = timeout(within + GRACE, async {
            match way {
                Together::Batch => self.batch(commands, writer, within, &mut answers).await,
                Together::Stream => self.stream(commands, writer, within, &mut answers).await,
            }
        })
        .await;
        // What was not answered may have been applied, whatever ended the stream.
        let rest = match ended {
            Ok(Err(status)) => match (way, answers::refusal(&status)) {
                (Together::Batch, answer) => answer,
                (Together::Stream, Answer::NotApplied { code, reason }) => {
                    Answer::Unknown { code, reason }
                }
                (Together::Stream, answer) => answer,
            },
            Ok(Ok(())) | Err(_) => gave_up(),
        };
        let now = self.history.now();
        let mut answers = answers.into_iter();
        for (index, call) in calls.iter_mut().enumerate() {
            let (ended, answer) = answers.next().unwrap_or_else(|| (now, rest.clone()));
            call.attempts.push(Attempt { sent, ended, lane: Some((lane, index)), answer });
        }
    }

    async fn batch(
        &self,
        commands: Vec<write::Command>,
        writer: usize,
        within: Duration,
        answers: &mut Vec<(Duration, Answer)>,
    ) -> Result<(), Status> {
        let (mode, request_id) = (BatchMode::Independent.into(), String::new());
        let mut request = Request::new(ExecuteBatchRequest { mode, request_id, commands });
        request.set_timeout(within);
        let results = self.writer(writer).execute_batch(request).await?.into_inner().results;
        results.into_iter().for_each(|result| self.note(result, answers));
        Ok(())
    }

    async fn stream(
        &self,
        commands: Vec<write::Command>,
        writer: usize,
        within: Duration,
        answers: &mut Vec<(Duration, Answer)>,
    ) -> Result<(), Status> {
        let requests =
            commands.into_iter().map(|command| ExecuteStreamRequest { command: Some(command) });
        let mut request = Request::new(stream::iter(requests));
        request.set_timeout(within);
        let mut results = self.writer(writer).execute_stream(request).await?.into_inner();
        while let Some(answer) = results.message().await? {
            self.note(answer.result.unwrap_or_default(), answers);
        }
        Ok(())
    }

    fn note(&self, result: write::CommandResult, answers: &mut Vec<(Duration, Answer)>) {
        let (answer, token) = answers::answer(answers::outcome(result));
        if let Some(token) = token {
            self.history.note_token(&token);
        }
        answers.push((self.history.now(), answer));
    }
}

fn any(kind: Kind) -> write::Command {
    write::Command { kind: Some(kind) }
}

fn gave_up() -> Answer {
    Answer::Unknown { code: "Cancelled".into(), reason: crate::oracles::NO_DETAILS.into() }
}

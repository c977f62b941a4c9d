//! Commands of many callers over one `ExecuteStream`.
//!
//! The service answers in the order in which commands came, so that answers are handed out in the order of sending. A stream
//! that breaks leaves open what became of the commands it has not answered: each is sent again, on the next stream and
//! under the same request id. So it is too when the stream has outlived its caller's token: the next one shows what
//! stands in the token's file by then.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prost::Message;
use proto::write::{
    Command, CommandResult, ExecuteStreamRequest, ExecuteStreamResponse, command::Kind,
    command_result::Outcome, write_service_client::WriteServiceClient,
};
use service_kit::error_details::{DOMAIN, reason};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Connection, Patience, Undelivered, deliver};
use crate::failure::Refusal;

/// What became of a command that was applied, or its refusal, or how the stream ended before it was answered.
type Answer = Result<Outcome, Status>;

/// Sends commands over a stream, and over another one when that has ended.
pub(crate) struct CommandStream {
    client: WriteServiceClient<Connection>,
    patience: Patience,
    open: RefCell<Option<OpenStream>>,
    renewal: Renewal,
}

/// Whether another stream is worth opening when the caller's credential was not good, or is so no more. Clones share it.
#[derive(Clone, Default)]
struct Renewal {
    /// It was opened already, and nothing has been answered since.
    is_tried: Arc<AtomicBool>,
}

/// One call of `ExecuteStream`. Dropping it ends it.
struct OpenStream {
    commands: mpsc::UnboundedSender<ExecuteStreamRequest>,
    /// Where answers go, in the order of `commands`.
    replies: mpsc::UnboundedSender<oneshot::Sender<Answer>>,
    /// Its only task.
    _reading: JoinSet<()>,
}

impl CommandStream {
    /// Nothing is sent yet. `patience.attempt` is how long a stream may be silent while an answer is due.
    pub(crate) fn new(client: WriteServiceClient<Connection>, patience: Patience) -> Self {
        Self { client, patience, open: RefCell::new(None), renewal: Renewal::default() }
    }

    /// Sends a command, which has its request id, until it is answered or patience ends. Only callers limit how many are
    /// outstanding.
    pub(crate) async fn deliver(&self, command: Kind) -> Result<Outcome, Undelivered> {
        deliver(self.patience, async || {
            let answer = self.send(command.clone());
            answer.await.unwrap_or_else(|_| Err(Status::unavailable("the stream was given up")))
        })
        .await
    }

    fn send(&self, command: Kind) -> oneshot::Receiver<Answer> {
        let mut open = self.open.borrow_mut();
        let stream = match &mut *open {
            Some(stream) if !stream.replies.is_closed() => stream,
            ended => {
                let (client, renewal) = (self.client.clone(), self.renewal.clone());
                ended.insert(OpenStream::begin(client, renewal, self.patience.attempt))
            }
        };
        let (reply, answer) = oneshot::channel();
        let command = Some(Command { kind: Some(command) });
        // Neither can be closed here; and if they were, the answer would be that the stream has ended.
        let _ = stream.replies.send(reply);
        let _ = stream.commands.send(ExecuteStreamRequest { command });
        answer
    }
}

impl OpenStream {
    fn begin(
        client: WriteServiceClient<Connection>,
        renewal: Renewal,
        silence_max: Duration,
    ) -> Self {
        let (commands, sent) = mpsc::unbounded_channel();
        let (replies, mut waiting) = mpsc::unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let ended = hand_out_answers(client, sent, &mut waiting, &renewal, silence_max).await;
            waiting.close();
            while let Some(reply) = waiting.recv().await {
                let _ = reply.send(Err(ended.clone()));
            }
        });
        Self { commands, replies, _reading: reading }
    }
}

/// Answers commands until the stream ends; how it has.
async fn hand_out_answers(
    mut client: WriteServiceClient<Connection>,
    sent: mpsc::UnboundedReceiver<ExecuteStreamRequest>,
    waiting: &mut mpsc::UnboundedReceiver<oneshot::Sender<Answer>>,
    renewal: &Renewal,
    silence_max: Duration,
) -> Status {
    let opened = timeout(silence_max, client.execute_stream(UnboundedReceiverStream::new(sent)));
    let mut answers = match opened.await {
        Ok(Ok(response)) => response.into_inner(),
        // What was not let in has done nothing: that is so for every command on it.
        Ok(Err(status)) if Refusal::new(&status).is_about_the_caller() => {
            return renewal.ended_with(status);
        }
        Ok(Err(status)) => return ended_with(&status),
        Err(_) => return silent(),
    };
    while let Some(reply) = waiting.recv().await {
        match timeout(silence_max, next_answer(&mut answers))
            .await
            .unwrap_or_else(|_| Err(silent()))
        {
            Ok(result) => {
                renewal.answered();
                let _ = reply.send(answer_of(result)); // whoever has gone needs no answer
            }
            Err(status) => {
                let ended = renewal.ended_with(ended_with(&status));
                let _ = reply.send(Err(ended.clone()));
                return ended;
            }
        }
    }
    Status::cancelled("nobody sends any more")
}

async fn next_answer(
    answers: &mut Streaming<ExecuteStreamResponse>,
) -> Result<Option<CommandResult>, Status> {
    match answers.message().await? {
        Some(response) => Ok(response.result),
        None => Err(Status::unavailable("the stream ended before all was answered")),
    }
}

/// What became of one command of a batch or stream: its response, or the status it would have failed with by itself.
pub(crate) fn answer_of(result: Option<CommandResult>) -> Result<Outcome, Status> {
    match result.and_then(|result| result.outcome) {
        Some(Outcome::Error(error)) => {
            let details = error.encode_to_vec().into();
            Err(Status::with_details(Code::from(error.code), error.message, details))
        }
        Some(outcome) => Ok(outcome),
        None => Err(Status::unimplemented("the answer does not say what became of the command")),
    }
}

/// The end of a stream without its details: what they say, `applied` above all, is not about any command on it. Only why
/// a caller is sent away is about all of them.
fn ended_with(status: &Status) -> Status {
    match reason(status) {
        Some(reason) if Refusal::new(status).is_about_the_caller() => {
            let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
            Status::with_error_details(status.code(), status.message(), details)
        }
        _ => Status::new(status.code(), status.message()),
    }
}

impl Renewal {
    fn answered(&self) {
        self.is_tried.store(false, Ordering::Relaxed);
    }

    /// The end of a stream. If another one may do better, it is one that passes.
    fn ended_with(&self, status: Status) -> Status {
        if status.code() != Code::Unauthenticated || self.is_tried.swap(true, Ordering::Relaxed) {
            return status;
        }
        let details = status.details().to_vec().into();
        Status::with_details(Code::Unavailable, status.message(), details)
    }
}

fn silent() -> Status {
    Status::deadline_exceeded("the stream was silent for too long")
}

#[cfg(test)]
mod tests {
    use service_kit::error_details::{Applied, ErrorStatus, metadata};

    use super::*;

    fn token_invalid() -> Status {
        let error = ErrorStatus::new(Code::Unauthenticated, "TOKEN_INVALID", "the token is over");
        error.applied(Applied::No).into_status()
    }

    #[test]
    fn a_stream_that_ended_says_why_a_caller_is_sent_away_and_nothing_of_its_commands() {
        let ended = ended_with(&token_invalid());
        assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "the token is over"));
        assert_eq!(reason(&ended).as_deref(), Some("TOKEN_INVALID"));
        assert!(metadata(&ended).is_empty());
        let too_large = ErrorStatus::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "4 MiB");
        assert_eq!(reason(&ended_with(&too_large.into_status())), None, "it was one command's");
    }

    #[test]
    fn without_any_answer_in_between_a_bad_credential_is_shown_twice_only() {
        let renewal = Renewal::default();
        let is_passing = || Refusal::new(&renewal.ended_with(token_invalid())).is_passing();
        assert_eq!([is_passing(), is_passing(), is_passing()], [true, false, false]);
        renewal.answered();
        assert_eq!([is_passing(), is_passing()], [true, false]);
        renewal.answered();
        let lost = renewal.ended_with(Status::unavailable("connection reset"));
        assert!(Refusal::new(&lost).is_passing() && is_passing());
    }
}

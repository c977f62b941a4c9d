//! Commands of many callers over one `ExecuteStream`.
//!
//! The service answers in the order in which commands came, so that answers are handed out in the order of sending. A stream
//! that breaks leaves open what became of the commands it has not answered: each is sent again, on the next stream and
//! under the same request id.

use std::{cell::RefCell, time::Duration};

use prost::Message;
use proto::write::{
    Command, CommandResult, ExecuteStreamRequest, ExecuteStreamResponse, command::Kind,
    command_result::Outcome, write_service_client::WriteServiceClient,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Connection, Patience, Undelivered, deliver};

/// What became of a command that was applied, or its refusal, or how the stream ended before it was answered.
type Answer = Result<Outcome, Status>;

/// Sends commands over a stream, and over another one when that has ended.
pub(crate) struct CommandStream {
    client: WriteServiceClient<Connection>,
    patience: Patience,
    open: RefCell<Option<OpenStream>>,
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
        Self { client, patience, open: RefCell::new(None) }
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
            ended => ended.insert(OpenStream::begin(self.client.clone(), self.patience.attempt)),
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
    fn begin(client: WriteServiceClient<Connection>, silence_max: Duration) -> Self {
        let (commands, sent) = mpsc::unbounded_channel();
        let (replies, mut waiting) = mpsc::unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let ended = hand_out_answers(client, sent, &mut waiting, silence_max).await;
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
    silence_max: Duration,
) -> Status {
    let opened = timeout(silence_max, client.execute_stream(UnboundedReceiverStream::new(sent)));
    let mut answers = match opened.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return ended_with(&status),
        Err(_) => return silent(),
    };
    while let Some(reply) = waiting.recv().await {
        match timeout(silence_max, next_answer(&mut answers))
            .await
            .unwrap_or_else(|_| Err(silent()))
        {
            Ok(result) => {
                let _ = reply.send(answer_of(result)); // whoever has gone needs no answer
            }
            Err(status) => {
                let ended = ended_with(&status);
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

/// The end of a stream without its details: what they say, `applied` above all, is not about any command on it.
fn ended_with(status: &Status) -> Status {
    Status::new(status.code(), status.message())
}

fn silent() -> Status {
    Status::deadline_exceeded("the stream was silent for too long")
}

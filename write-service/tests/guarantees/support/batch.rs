//! Several calls at once: in a batch, or on a stream.

use futures::{Stream, StreamExt, stream::BoxStream};
use proto::write::{
    self, BatchMode, CommandResult, ExecuteBatchRequest, ExecuteStreamRequest, command::Kind,
    command_result::Outcome, write_service_client::WriteServiceClient,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Answer, Call, Client, Refusal};

pub(crate) fn command(call: Call) -> write::Command {
    let kind = match call {
        Call::OpenAccount(request) => Kind::OpenAccount(request),
        Call::Deposit(request) => Kind::Deposit(request),
        Call::Withdraw(request) => Kind::Withdraw(request),
        Call::PayBill(request) => Kind::PayBill(request),
        Call::Transfer(request) => Kind::Transfer(request),
        Call::SetOverdraftLimit(request) => Kind::SetOverdraftLimit(request),
        Call::FreezeAccount(request) => Kind::FreezeAccount(request),
        Call::UnfreezeAccount(request) => Kind::UnfreezeAccount(request),
        Call::CloseAccount(request) => Kind::CloseAccount(request),
    };
    write::Command { kind: Some(kind) }
}

pub(crate) fn atomic(request_id: Uuid, calls: &[Call]) -> ExecuteBatchRequest {
    let commands = calls.iter().map(|call| command(call.clone().with_id_text("")));
    ExecuteBatchRequest {
        mode: BatchMode::Atomic.into(),
        request_id: request_id.to_string(),
        commands: commands.collect(),
    }
}

pub(crate) fn independent(calls: &[Call]) -> ExecuteBatchRequest {
    ExecuteBatchRequest {
        mode: BatchMode::Independent.into(),
        request_id: String::new(),
        commands: calls.iter().cloned().map(command).collect(),
    }
}

/// What became of each command, and the token of all.
pub(crate) type BatchAnswer = Result<(Vec<Answer>, String), Refusal>;

impl Client {
    pub(crate) async fn batch(&self, batch: ExecuteBatchRequest) -> BatchAnswer {
        let mut client = WriteServiceClient::new(self.channel.clone());
        let response = client.execute_batch(batch).await?.into_inner();
        let answers = response.results.into_iter().map(answer_of).collect();
        Ok((answers, response.consistency_token))
    }

    /// Sends commands as they come, and gives the answers as they come, and how the stream ended if not well.
    pub(crate) async fn stream(
        &self,
        commands: impl Stream<Item = Option<write::Command>> + Send + 'static,
    ) -> BoxStream<'static, Result<Answer, Refusal>> {
        let mut client = WriteServiceClient::new(self.channel.clone());
        let requests = commands.map(|command| ExecuteStreamRequest { command });
        let answers = client.execute_stream(requests).await.unwrap().into_inner();
        let answers = answers.map(|answer| match answer {
            Ok(answer) => Ok(answer_of(answer.result.unwrap())),
            Err(status) => Err(status.into()),
        });
        answers.boxed()
    }
}

pub(crate) fn answer_of(result: CommandResult) -> Answer {
    Ok(match result.outcome.unwrap() {
        Outcome::OpenAccount(response) => response.into(),
        Outcome::Deposit(response) => response.into(),
        Outcome::Withdraw(response) => response.into(),
        Outcome::PayBill(response) => response.into(),
        Outcome::Transfer(response) => response.into(),
        Outcome::SetOverdraftLimit(response) => response.into(),
        Outcome::FreezeAccount(response) => response.into(),
        Outcome::UnfreezeAccount(response) => response.into(),
        Outcome::CloseAccount(response) => response.into(),
        Outcome::Error(status) => {
            let details = prost::Message::encode_to_vec(&status);
            let code = Code::from(status.code);
            return Err(Status::with_details(code, status.message, details.into()).into());
        }
    })
}

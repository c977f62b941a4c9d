//! What all sub-commands that change something have in common.

use std::{borrow::Cow, time::Duration};

use clap::Args;
use proto::write::write_service_client::WriteServiceClient;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Connection, Patience, Undelivered, channel, deliver};
use crate::{failure::Failure, settings::WriteAddr};

/// One attempt may take so long before it is repeated.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to send a command and under which id.
#[derive(Args)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) addr: WriteAddr,
    /// The command's UUID; give that of an earlier call to repeat it safely [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Uuid>,
    /// How long to repeat a command whose outcome is not known
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// Print the answer as JSON, with the field names of the contract
    #[arg(long)]
    pub(crate) json: bool,
}

/// One sending of a command.
pub(crate) struct Attempt {
    pub(crate) client: WriteServiceClient<Connection>,
    pub(crate) request_id: String,
    timeout: Duration,
}

impl Attempt {
    /// The message with this attempt's deadline.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

impl WriteArgs {
    /// Sends the command, again if need be, and returns its id with the answer.
    pub(crate) async fn send<R>(
        &self,
        send: impl AsyncFn(Attempt) -> Result<Response<R>, Status>,
    ) -> Result<(Uuid, R), Failure> {
        let addr = self.addr.get();
        let client = WriteServiceClient::new(channel(&addr)?);
        let request_id = self.request_id.unwrap_or_else(Uuid::now_v7);
        let patience = self.patience();
        let attempt = || Attempt {
            client: client.clone(),
            request_id: request_id.to_string(),
            timeout: patience.attempt,
        };
        let sent = deliver(patience, async || Ok(send(attempt()).await?.into_inner())).await;
        match sent {
            Ok(response) => Ok((request_id, response)),
            Err(undelivered) => Err(explain(undelivered, request_id, &addr).in_json(self.json)),
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience { total: self.timeout, attempt: ATTEMPT_TIMEOUT }
    }

    /// Another command for the same write service, to be pasted into a shell.
    pub(crate) fn sibling_command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> String {
        sibling_command(words, &self.addr)
    }
}

/// An error that says what to do with this very command.
fn explain(undelivered: Undelivered, request_id: Uuid, addr: &str) -> Failure {
    let again = shown_command(own_words(), Some(request_id));
    match undelivered {
        Undelivered::Refused(mut refusal) => {
            refusal.metadata.insert("request_id".to_owned(), request_id.to_string());
            refusal.into()
        }
        Undelivered::NotApplied(mut refusal) if refusal.is_about_the_caller() => {
            let advice = refusal.advice().unwrap_or("show another credential");
            refusal.next = Some(format!("{advice}. This call did nothing; then run:\n  {again}"));
            Failure::undecided(refusal.at(addr))
        }
        Undelivered::NotApplied(mut refusal) => {
            refusal.next =
                Some(format!("nothing was applied; when the service is back:\n  {again}"));
            Failure::undecided(refusal.at(addr))
        }
        Undelivered::Unknown(mut refusal) => {
            // What the last attempt says of itself says nothing of those before it.
            refusal.metadata.insert("applied".to_owned(), "unknown".to_owned());
            refusal.next = Some(format!(
                "it is not known whether the command was applied. To learn it, and have it applied once in any \
                 case, run:\n  {again}"
            ));
            Failure::undecided(refusal.at(addr))
        }
    }
}

/// This process's own command line.
pub(crate) fn own_words() -> impl Iterator<Item = String> {
    // Not `args`, which panics at a file name that is not UTF-8.
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// Another command of this program for the same write service, to be pasted into a shell. The program is called as this
/// process was.
pub(crate) fn sibling_command<'a>(
    words: impl IntoIterator<Item = &'a str>,
    addr: &WriteAddr,
) -> String {
    let flag = addr.flag().into_iter().flatten();
    let words = words.into_iter().map(str::to_owned).chain(flag.map(str::to_owned));
    shown_command(own_words().take(1).chain(words), None)
}

/// A command line, to be pasted into a shell, with the request id if it has none yet.
pub(crate) fn shown_command(
    args: impl Iterator<Item = String>,
    request_id: Option<Uuid>,
) -> String {
    let mut words: Vec<String> = args.map(|word| quoted(&word).into_owned()).collect();
    if let Some(id) = request_id
        && !words.iter().any(|word| word.starts_with("--request-id"))
    {
        words.push(format!("--request-id {id}"));
    }
    words.join(" ")
}

/// As a shell wants it.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use service_kit::error_details::{Applied, ErrorStatus};
    use tonic::Code;

    use super::*;
    use crate::failure::Refusal;

    #[test]
    fn what_is_not_known_is_not_called_not_applied() {
        let last = ErrorStatus::new(Code::Unavailable, "LEDGER_UNAVAILABLE", "why");
        let last = Refusal::new(&last.applied(Applied::No).into_status());
        let mut failure = explain(Undelivered::Unknown(last), Uuid::from_u128(1), "127.0.0.1:1");
        assert_eq!(failure.refusal_mut().unwrap().metadata["applied"], "unknown");
    }

    #[test]
    fn the_command_that_repeats_a_call_can_be_pasted_and_names_its_request_id() {
        let args = ["counterfoil", "deposit", "alice", "1 EUR", "--reference", "it's"];
        let id = Uuid::from_u128(1);
        let shown = shown_command(args.into_iter().map(str::to_owned), Some(id));
        assert_eq!(
            shown,
            format!(r"counterfoil deposit alice '1 EUR' --reference 'it'\''s' --request-id {id}")
        );
        let again = shown_command(shown.split(' ').map(str::to_owned), Some(Uuid::from_u128(2)));
        assert!(!again.contains(&Uuid::from_u128(2).to_string()), "{again}");
    }
}

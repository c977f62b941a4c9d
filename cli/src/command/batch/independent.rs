//! Commands that are applied or refused each by itself.

use std::cell::RefCell;

use ledger::ConsistencyToken;
use proto::write::{
    BatchMode, Command, ExecuteBatchRequest, write_service_client::WriteServiceClient,
};
use serde_json::{Value, json};
use tonic::{Request, Status};

use crate::{
    call::{
        Connection, Patience, WriteArgs, answer_of, channel, deliver, own_words, shown_command,
    },
    command::json_line::{Ended, JsonLine},
    contract::Contract,
    failure::{Failure, REFUSED, Refusal, UNAVAILABLE},
    output::{Fields, out},
};

/// The contract's limit for one batch.
const BATCH_COMMANDS_MAX: usize = 1_000;

/// Services take messages of 4 MiB; a command is a little longer with its place in the batch.
const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A command, and what is known of it.
struct Item {
    line: JsonLine,
    ended: Ended,
}

/// All commands, and a token for those that were applied.
struct Sending {
    items: Vec<Item>,
    token: String,
}

/// Sends them batch after batch, and prints what became of each.
pub(super) async fn send(
    args: &WriteArgs,
    contract: &Contract,
    lines: Vec<JsonLine>,
) -> Result<(), Failure> {
    let client = WriteServiceClient::new(channel(&args.addr.get())?);
    let items = lines.into_iter().map(|line| Item { line, ended: Ended::NotSent }).collect();
    let mut sending = Sending { items, token: String::new() };
    sending.send_all(&client, args.patience()).await;
    match args.json {
        true => out!("{:#}\n", sending.json(contract)?),
        false => sending.print(),
    }
    match sending.exit_code() {
        0 => Ok(()),
        code => Err(Failure::reported(code)),
    }
}

impl Sending {
    /// Ends with the first batch that is not answered: what comes after it may be on the same accounts.
    async fn send_all(&mut self, client: &WriteServiceClient<Connection>, patience: Patience) {
        let mut rest = self.items.as_mut_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at_mut(batch_len(rest));
            rest = after;
            let cell = RefCell::new((&mut *batch, &mut self.token));
            let sent =
                deliver(patience, async || send_open(client.clone(), patience, &cell).await).await;
            if sent.is_err() || batch.iter().any(|item| item.exit_code() == UNAVAILABLE) {
                return;
            }
        }
    }

    fn exit_code(&self) -> u8 {
        self.items.iter().map(Item::exit_code).max().unwrap_or_default()
    }

    fn json(&self, contract: &Contract) -> anyhow::Result<Value> {
        let results = self.items.iter().map(|item| item.ended.json(contract));
        let results = results.collect::<anyhow::Result<Vec<Value>>>()?;
        Ok(json!({ "results": results, "consistencyToken": self.token }))
    }

    fn print(&self) {
        for Item { line, ended } in &self.items {
            out!("{line}: {ended}\n");
        }
        let count = |is_so: fn(&Ended) -> bool| {
            self.items.iter().filter(|item| is_so(&item.ended)).count().to_string()
        };
        let mut fields = Fields::default();
        fields
            .add("applied now", count(|ended| ended.is_applied() && !ended.is_replayed()))
            .add("applied before", count(Ended::is_replayed))
            .add("refused", count(|ended| matches!(ended, Ended::Refused(_))))
            .add("not answered", count(|ended| matches!(ended, Ended::Unanswered(_))))
            .add("not sent", count(|ended| matches!(ended, Ended::NotSent)))
            .add("token", self.token.clone());
        out!("{fields}");
        if self.items.iter().any(Item::is_open) {
            let again = shown_command(own_words(), None);
            out!("Run it again to go on; what is applied is not applied again:\n  {again}\n");
        }
    }
}

impl Item {
    /// Whether it is to be sent, for the first time or again.
    fn is_open(&self) -> bool {
        matches!(self.ended, Ended::NotSent | Ended::Unanswered(_))
    }

    fn note(&mut self, ended: Ended) {
        let was_unknown =
            matches!(&self.ended, Ended::Unanswered(before) if before.may_be_applied());
        self.ended = match ended {
            // Once unknown it stays so: a later "not applied" speaks of its own attempt only.
            Ended::Refused(mut now) | Ended::Unanswered(mut now)
                if was_unknown && !now.is_about_the_command() =>
            {
                now.metadata.insert("applied".to_owned(), "unknown".to_owned());
                Ended::Unanswered(now)
            }
            ended => ended,
        };
    }

    fn exit_code(&self) -> u8 {
        match &self.ended {
            Ended::Applied(_) => 0,
            Ended::Refused(refusal) if refusal.exit_code() == UNAVAILABLE => UNAVAILABLE,
            Ended::Refused(_) => REFUSED,
            Ended::Unanswered(_) | Ended::NotSent => UNAVAILABLE,
        }
    }
}

/// How many of the first make up the next batch.
fn batch_len(items: &[Item]) -> usize {
    const PLACE_BYTES_MAX: usize = 16;
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += item.line.command.encoded_len() + PLACE_BYTES_MAX;
        bytes <= BATCH_BYTES_MAX
    };
    items.iter().take(BATCH_COMMANDS_MAX).take_while(fits).count().max(1)
}

/// Sends those of a batch that are open; an error if one still is.
async fn send_open(
    mut client: WriteServiceClient<Connection>,
    patience: Patience,
    batch: &RefCell<(&mut [Item], &mut String)>,
) -> Result<(), Status> {
    let command = |item: &Item| Command { kind: Some(item.line.command.clone()) };
    let commands: Vec<Command> =
        batch.borrow().0.iter().filter(|item| item.is_open()).map(command).collect();
    let count = commands.len();
    let mode = BatchMode::Independent.into();
    let mut request =
        Request::new(ExecuteBatchRequest { mode, request_id: String::new(), commands });
    request.set_timeout(patience.attempt);
    let response = client.execute_batch(request).await.map(tonic::Response::into_inner);
    let (items, token) = &mut *batch.borrow_mut();
    let answers = match response {
        Ok(response) => {
            **token = joined(token, response.consistency_token);
            response.results.into_iter().map(|result| answer_of(Some(result))).collect()
        }
        Err(status) => vec![Err(status); count],
    };
    let mut open: Option<Status> = None;
    for (item, answer) in items.iter_mut().filter(|item| item.is_open()).zip(answers) {
        let status = answer.as_ref().err().cloned();
        item.note(Ended::of(answer));
        // What passes is worth another try, whatever else has come to its end.
        let is_passing = |status: &Status| Refusal::new(status).is_passing();
        if item.is_open() && open.as_ref().is_none_or(|first| !is_passing(first)) {
            open = status.or(open);
        }
    }
    open.map_or(Ok(()), Err)
}

/// One token for both, as short as can be: only so many texts may be joined by commas.
fn joined(earlier: &str, later: String) -> String {
    match (earlier, later.as_str()) {
        (earlier, "") => earlier.to_owned(),
        ("", _) => later,
        _ => match format!("{earlier},{later}").parse::<ConsistencyToken>() {
            Ok(token) => token.to_string(),
            Err(_) => later, // the log was replaced in between
        },
    }
}

#[cfg(test)]
mod tests {
    use proto::write::{FreezeAccountRequest, OpenAccountRequest, command::Kind};
    use service_kit::error_details::{Applied, ErrorStatus};

    use super::*;

    fn item(command: Kind) -> Item {
        Item { line: JsonLine { line: 1, command }, ended: Ended::NotSent }
    }

    #[test]
    fn a_batch_keeps_within_both_limits() {
        let small: Vec<Item> = (0..1_001)
            .map(|_| item(Kind::FreezeAccount(FreezeAccountRequest::default())))
            .collect();
        assert_eq!((batch_len(&small), batch_len(&small[1_000..])), (1_000, 1));
        let labels: std::collections::BTreeMap<_, _> =
            (0..32).map(|number| (number.to_string(), "x".repeat(256))).collect();
        let request = OpenAccountRequest { labels, ..Default::default() };
        let large: Vec<Item> =
            (0..1_000).map(|_| item(Kind::OpenAccount(request.clone()))).collect();
        let bytes = |items: &[Item]| -> usize {
            items.iter().map(|item| item.line.command.encoded_len()).sum()
        };
        let len = batch_len(&large);
        assert!(
            bytes(&large[..len]) <= BATCH_BYTES_MAX && bytes(&large[..len + 2]) > BATCH_BYTES_MAX
        );
    }

    #[test]
    fn what_may_have_been_applied_stays_so_when_a_later_attempt_was_not() {
        let mut item = item(Kind::FreezeAccount(FreezeAccountRequest::default()));
        item.note(Ended::of(Err(Status::unavailable("connection reset"))));
        item.note(Ended::of(Err(Status::unavailable("tcp connect error"))));
        let Ended::Unanswered(refusal) = &item.ended else { panic!("it was answered") };
        assert!(refusal.may_be_applied());
    }

    #[test]
    fn what_may_have_been_applied_stays_so_when_the_caller_is_sent_away() {
        use tonic::Code::{FailedPrecondition, PermissionDenied, Unauthenticated};
        for (code, reason, is_open) in [
            (Unauthenticated, "TOKEN_INVALID", true),
            (PermissionDenied, "ACCOUNT_ACCESS_DENIED", true),
            (FailedPrecondition, "INSUFFICIENT_FUNDS", false),
        ] {
            let status = ErrorStatus::new(code, reason, "why").applied(Applied::No).into_status();
            let mut item = item(Kind::FreezeAccount(FreezeAccountRequest::default()));
            item.note(Ended::of(Err(status.clone())));
            assert_eq!((item.is_open(), item.exit_code() == UNAVAILABLE), (is_open, is_open));
            item.note(Ended::of(Err(Status::unavailable("connection reset"))));
            item.note(Ended::of(Err(status)));
            let is_unknown =
                matches!(&item.ended, Ended::Unanswered(refusal) if refusal.may_be_applied());
            assert_eq!(is_unknown, is_open, "{reason}");
        }
    }

    #[test]
    fn tokens_of_several_batches_become_one() {
        let token = |place: &str| format!("cf1.0190163d8694739b88c3d2f37f4c8f7e.{place}");
        assert_eq!(joined(&token("0-5"), token("0-9.1-2")), token("0-9.1-2"));
        assert_eq!(joined(&token("0-5"), String::new()), token("0-5"));
        assert_eq!(joined("", token("0-5")), token("0-5"));
    }
}

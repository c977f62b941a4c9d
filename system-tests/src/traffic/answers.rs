//! What came back, as the history keeps it.

use prost::Message;
use proto::{
    types,
    write::{CommandResult, WriteMetadata, command_result::Outcome},
};
use service_kit::error_details;
use tonic::{Code, Status};

use crate::{
    history::{Answer, AsOf, Done, Refused, Seen},
    model,
    oracles::NO_DETAILS,
};

/// What tonic says by itself, without a cause, of an answer that does not come to its end; and our own clock.
const OF_THE_LIBRARY: [&str; 4] =
    ["grpc-status header missing", "Missing response message", "Unexpected EOF", "given up"];

/// Reads a token: which log, and how far in each shard.
pub(super) fn token(text: &str) -> Option<AsOf> {
    let token: ledger::ConsistencyToken = text.parse().ok()?;
    let positions =
        token.positions.iter().map(|(shard, position)| (shard.get(), position.get())).collect();
    Some(AsOf { log_id: token.log_id.0, positions })
}

/// An account as shown.
pub(super) fn seen(account: &types::Account) -> Seen {
    Seen {
        account: account.account_id.clone(),
        version: account.version,
        balance: account.balance.as_ref().map_or(0, |balance| balance.minor_units),
        limit: account.overdraft_limit,
        status: match account.status() {
            types::AccountStatus::Frozen => model::Status::Frozen,
            types::AccountStatus::Closed => model::Status::Closed,
            types::AccountStatus::Open | types::AccountStatus::Unspecified => model::Status::Open,
        },
    }
}

/// The answer to one command; its token too.
pub(super) fn answer(result: Result<Outcome, Status>) -> (Answer, Option<String>) {
    match result {
        Ok(outcome) => match done(outcome) {
            Ok((done, token)) => (Answer::Applied(vec![done]), Some(token)),
            Err(status) => (refusal(&status), None),
        },
        Err(status) => (refusal(&status), None),
    }
}

/// The answers of an atomic batch.
pub(super) fn batch_answer(results: Vec<CommandResult>) -> (Answer, Option<String>) {
    let mut all = Vec::with_capacity(results.len());
    let mut last = None;
    for result in results {
        match done_of(result) {
            Ok((done, token)) => {
                all.push(done);
                last = Some(token);
            }
            Err(status) => return (refusal(&status), None),
        }
    }
    (Answer::Applied(all), last)
}

/// What became of a command within a batch or stream.
pub(super) fn outcome(result: CommandResult) -> Result<Outcome, Status> {
    match result.outcome {
        Some(Outcome::Error(error)) => {
            let details = error.encode_to_vec().into();
            Err(Status::with_details(Code::from(error.code), error.message, details))
        }
        Some(outcome) => Ok(outcome),
        None => Err(Status::data_loss("a result says nothing")),
    }
}

fn done_of(result: CommandResult) -> Result<(Done, String), Status> {
    done(outcome(result)?)
}

fn done(outcome: Outcome) -> Result<(Done, String), Status> {
    let (write, accounts) = match outcome {
        Outcome::OpenAccount(answer) => (answer.write, [answer.account, None]),
        Outcome::Deposit(answer) => (answer.write, [answer.account, None]),
        Outcome::Withdraw(answer) => (answer.write, [answer.account, None]),
        Outcome::PayBill(answer) => (answer.write, [answer.account, None]),
        Outcome::Transfer(answer) => {
            (answer.write, [answer.source_account, answer.destination_account])
        }
        Outcome::SetOverdraftLimit(answer) => (answer.write, [answer.account, None]),
        Outcome::FreezeAccount(answer) => (answer.write, [answer.account, None]),
        Outcome::UnfreezeAccount(answer) => (answer.write, [answer.account, None]),
        Outcome::CloseAccount(answer) => (answer.write, [answer.account, None]),
        Outcome::Error(error) => {
            let details = error.encode_to_vec().into();
            return Err(Status::with_details(Code::from(error.code), error.message, details));
        }
    };
    let said_nothing = || Status::data_loss("an answer without its metadata");
    let WriteMetadata { consistency_token, position, replayed, .. } =
        write.ok_or_else(said_nothing)?;
    let as_of = token(&consistency_token).ok_or_else(said_nothing)?;
    let done = Done {
        log_id: as_of.log_id,
        places: as_of.positions,
        position,
        replayed,
        accounts: accounts.iter().flatten().map(seen).collect(),
    };
    Ok((done, consistency_token))
}

/// What an error means for its caller.
pub(super) fn refusal(status: &Status) -> Answer {
    let code = format!("{:?}", status.code());
    let reason = reason(status);
    let metadata = error_details::metadata(status);
    let number = |name: &str| metadata.get(name).and_then(|text| text.parse().ok());
    let is_refusal = matches!(
        status.code(),
        Code::FailedPrecondition
            | Code::NotFound
            | Code::Aborted
            | Code::AlreadyExists
            | Code::PermissionDenied
    );
    if is_refusal && reason != "REQUEST_ID_REUSED" {
        let command = number("index").zip(metadata.get("command_reason").cloned());
        let command = command
            .map(|(index, why): (i64, _)| (usize::try_from(index).unwrap_or(usize::MAX), why));
        return Answer::Refused(Refused {
            replayed: metadata.get("replayed").is_some_and(|replayed| replayed == "true"),
            versions: number("expected_version").zip(number("current_version")),
            command,
            code,
            reason,
        });
    }
    match metadata.get(error_details::APPLIED_KEY).map(String::as_str) {
        Some("false") => Answer::NotApplied { code, reason },
        _ => Answer::Unknown { code, reason },
    }
}

/// The reason of the contract, or that a connection broke; of an error that a service sent without details, what it said.
pub(super) fn reason(status: &Status) -> String {
    let own = || match std::error::Error::source(status) {
        Some(_) => NO_DETAILS.to_owned(),
        None if OF_THE_LIBRARY.iter().any(|text| status.message().starts_with(text)) => {
            NO_DETAILS.to_owned()
        }
        None => status.message().to_owned(),
    };
    error_details::reason(status).unwrap_or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_details_is_the_connections_only_where_the_library_made_it() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(reason(&Status::from_error(Box::new(broken))), NO_DETAILS);
        assert_eq!(reason(&Status::cancelled("given up")), NO_DETAILS);
        assert_eq!(reason(&Status::internal("a bug")), "a bug");
    }
}

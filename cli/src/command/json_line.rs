//! A command as a line of JSON, and what is said of what became of it.

use std::fmt;

use proto::{
    types::Account,
    write::{Command, CommandResult, WriteMetadata, command::Kind, command_result::Outcome},
};
use serde_json::Value;

use crate::{
    contract::Contract,
    failure::Refusal,
    output::{minor_units, money},
};

/// How a line looks, for the help of whoever takes them.
pub(crate) const HELP: &str = include_str!("json_line.txt");

/// One line of input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonLine {
    /// Where it stands; the first is 1.
    pub(crate) line: u64,
    pub(crate) command: Kind,
}

impl JsonLine {
    /// Reads a line; nothing of one that is blank. The error is for whoever wrote it.
    pub(crate) fn parse(
        contract: &Contract,
        line: u64,
        text: &str,
    ) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let command = contract.parse::<Command>("counterfoil.write.v1.Command", text);
        // There is one line only, and which it is, is said already.
        let command = command
            .map_err(|error| format!("{error:#}").replace(" at line 1 column", " at column"));
        match command?.kind {
            Some(command) => Ok(Some(Self { line, command })),
            None => Err("has no command, such as {\"deposit\": {...}}".to_owned()),
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        parts(&self.command).request_id
    }
}

impl fmt::Display for JsonLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { name, account_id, .. } = parts(&self.command);
        write!(f, "line {}: {name} {account_id}", self.line)
    }
}

/// What became of a command.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// It is in the log.
    Applied(Box<Outcome>),
    /// It did nothing.
    Refused(Refusal),
    /// It was sent and not decided as far as we know: it may have been applied, or still be, unless the refusal says more.
    Unanswered(Refusal),
    /// It was not sent, because one before it was not answered.
    NotSent,
}

impl Ended {
    /// What an answer says. Whether it is worth another try, the caller knows.
    pub(crate) fn of(answer: Result<Outcome, tonic::Status>) -> Self {
        match answer.map_err(|status| Refusal::new(&status)) {
            Ok(outcome) => Self::Applied(Box::new(outcome)),
            Err(refusal) if refusal.is_passing() || refusal.is_about_the_caller() => {
                Self::Unanswered(refusal)
            }
            Err(refusal) => Self::Refused(refusal),
        }
    }

    pub(crate) fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }

    /// Whether it had been applied before.
    pub(crate) fn is_replayed(&self) -> bool {
        match self {
            Self::Applied(outcome) => response(outcome).0.is_some_and(|write| write.replayed),
            Self::Refused(_) | Self::Unanswered(_) | Self::NotSent => false,
        }
    }

    /// As `CommandResult` of the contract, except that an error is written as this program writes errors.
    pub(crate) fn json(&self, contract: &Contract) -> anyhow::Result<Value> {
        Ok(match self {
            Self::Applied(outcome) => {
                let result = CommandResult { outcome: Some((**outcome).clone()) };
                contract.to_value("counterfoil.write.v1.CommandResult", &result)?
            }
            Self::Refused(refusal) | Self::Unanswered(refusal) => refusal.json(),
            Self::NotSent => {
                let why = "not sent, because a command before it was not answered";
                Refusal::new(&tonic::Status::unavailable(why)).json()
            }
        })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(outcome) => {
                f.write_str(if self.is_replayed() { "applied before" } else { "applied" })?;
                let (_, Some(account)) = response(outcome) else { return Ok(()) };
                match **outcome {
                    Outcome::SetOverdraftLimit(_) => {
                        let limit = minor_units(account.overdraft_limit, &account.currency_code);
                        write!(f, ", limit {limit}")
                    }
                    _ => write!(f, ", balance {}", money(account.balance.as_ref())),
                }
            }
            Self::Refused(refusal) => {
                write!(f, "refused: {}: {}", refusal.name(), refusal.message)
            }
            Self::Unanswered(refusal) => {
                write!(f, "not answered: {}: {}", refusal.name(), refusal.message)
            }
            Self::NotSent => f.write_str("not sent"),
        }
    }
}

/// What commands of all kinds have.
struct Parts<'a> {
    name: &'static str,
    request_id: &'a str,
    /// Of a transfer, the source.
    account_id: &'a str,
}

fn parts(command: &Kind) -> Parts<'_> {
    macro_rules! parts {
        ($($kind:ident $name:literal $account_id:ident,)*) => {
            match command {$(
                Kind::$kind(command) => Parts {
                    name: $name,
                    request_id: &command.request_id,
                    account_id: &command.$account_id,
                },
            )*}
        };
    }
    parts!(
        OpenAccount "open_account" account_id,
        Deposit "deposit" account_id,
        Withdraw "withdraw" account_id,
        PayBill "pay_bill" account_id,
        Transfer "transfer" source_account_id,
        SetOverdraftLimit "set_overdraft_limit" account_id,
        FreezeAccount "freeze_account" account_id,
        UnfreezeAccount "unfreeze_account" account_id,
        CloseAccount "close_account" account_id,
    )
}

/// What responses of all kinds have; of a transfer, the source.
fn response(outcome: &Outcome) -> (Option<&WriteMetadata>, Option<&Account>) {
    macro_rules! response {
        ($($kind:ident $account:ident,)*) => {
            match outcome {
                $(Outcome::$kind(response) => (response.write.as_ref(), response.$account.as_ref()),)*
                Outcome::Error(_) => (None, None),
            }
        };
    }
    response!(
        OpenAccount account,
        Deposit account,
        Withdraw account,
        PayBill account,
        Transfer source_account,
        SetOverdraftLimit account,
        FreezeAccount account,
        UnfreezeAccount account,
        CloseAccount account,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<JsonLine>, String> {
        JsonLine::parse(&Contract::new().unwrap(), 3, text)
    }

    #[test]
    fn a_line_is_one_command_and_says_which() {
        let text = r#"{"transfer": {"requestId": "i", "sourceAccountId": "a", "destinationAccountId": "b"}}"#;
        let line = parse(text).unwrap().unwrap();
        assert_eq!((line.request_id(), line.to_string().as_str()), ("i", "line 3: transfer a"));
        assert_eq!(parse("  "), Ok(None));
    }

    #[test]
    fn what_is_no_command_says_what_is_wrong_with_it() {
        for (text, part) in [
            ("{}", "has no command"),
            ("deposit", "at column 1"),
            (r#"{"depositt": {}}"#, "depositt"),
            (r#"{"deposit": {"amount": 5}}"#, "at column"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("line 1"), "{text}: {error}");
        }
    }
}

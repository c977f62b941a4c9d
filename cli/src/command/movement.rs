//! What all movements of money share: options, and showing what was done.

use clap::Args;
use prost_types::Timestamp;
use proto::{
    types::{Account, Transaction},
    write::WriteMetadata,
};
use uuid::Uuid;

use crate::output::out;
use crate::output::{Fields, account_fields, money, time, write_fields};

/// Options of every movement.
#[derive(Args)]
pub(crate) struct MovementArgs {
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reference: String,
    /// When it takes effect: a day such as 2026-03-01, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_parser = effective_time, value_name = "TIME")]
    pub(crate) effective_time: Option<Timestamp>,
    /// Refuse unless the account (of a transfer, the source) stands at this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) expected_version: Option<i64>,
}

/// A day is its first moment in UTC.
pub(crate) fn effective_time(text: &str) -> Result<Timestamp, String> {
    let day = text.len() == 10;
    let time = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    time.parse().map_err(|_| "neither YYYY-MM-DD nor an RFC 3339 time".to_owned())
}

/// What a person sees of an account's command.
pub(crate) fn print_account(
    done: &str,
    request_id: Uuid,
    write: Option<&WriteMetadata>,
    account: Option<&Account>,
) {
    let mut fields = Fields::default();
    if let Some(account) = account {
        account_fields(&mut fields, account);
    }
    write_fields(&mut fields, write, request_id);
    out!("{done}\n{fields}");
}

/// What a person sees of a movement.
pub(crate) fn print_movement(
    done: &str,
    request_id: Uuid,
    write: Option<&WriteMetadata>,
    transaction: Option<&Transaction>,
    accounts: &[Option<&Account>],
) {
    let mut fields = Fields::default();
    if let Some(transaction) = transaction {
        fields.add("transaction", transaction.transaction_id.clone());
        fields.add("amount", money(transaction.amount.as_ref()));
        fields.add("counterparty", transaction.counterparty.clone());
        fields.add("reference", transaction.reference.clone());
        fields.add("effective", time(transaction.effective_time.as_ref()));
    }
    for account in accounts.iter().flatten() {
        if accounts.len() > 1 {
            fields.add("account", account.account_id.clone());
        }
        fields.add("balance", money(account.balance.as_ref()));
        fields.add("available", money(account.available.as_ref()));
        fields.add("version", account.version.to_string());
    }
    write_fields(&mut fields, write, request_id);
    out!("{done}\n{fields}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_first_moment_in_utc() {
        let day = effective_time("1993-01-29").unwrap();
        assert_eq!((day.seconds, day.nanos), (728_265_600, 0));
        assert_eq!(effective_time("1993-01-29T01:00:00+01:00").unwrap(), day);
        for text in ["", "1993-02-30", "29.01.1993", "1993-1-29", "930129", "tomorrow"] {
            assert!(effective_time(text).is_err(), "{text}");
        }
    }
}

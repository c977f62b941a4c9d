//! The messages of the contract, for people.

use ledger::Currency;
use proto::{
    read::ReadMetadata,
    types::{Account, AccountStatus, Money, Transaction, TransactionType},
    write::WriteMetadata,
};
use uuid::Uuid;

use super::{Fields, Table};

/// `12.34 EUR`.
pub(crate) fn money(money: Option<&Money>) -> String {
    money.map_or_else(String::new, |money| minor_units(money.minor_units, &money.currency_code))
}

/// `12.34 EUR`, or the bare number where the currency is not known here.
pub(crate) fn minor_units(minor_units: i64, code: &str) -> String {
    match Currency::new(code) {
        Ok(currency) => format!("{} {code}", currency.display(minor_units)),
        Err(_) => format!("{minor_units} {code} (minor units)"),
    }
}

/// `2026-03-01T12:00:00.123456Z`.
pub(crate) fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.map(ToString::to_string).unwrap_or_default()
}

/// `1.234 s`.
pub(crate) fn duration(duration: Option<&prost_types::Duration>) -> String {
    let time = duration.and_then(|duration| std::time::Duration::try_from(*duration).ok());
    time.map(|time| format!("{:.3} s", time.as_secs_f64())).unwrap_or_default()
}

/// `bill payment` of `TRANSACTION_TYPE_BILL_PAYMENT`.
pub(crate) fn enum_word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}

/// What is said about a command that was done.
pub(crate) fn write_fields(fields: &mut Fields, write: Option<&WriteMetadata>, request_id: Uuid) {
    let Some(write) = write else { return };
    fields.add("recorded", time(write.commit_time.as_ref()));
    fields.add("request id", request_id.to_string());
    fields.add("token", write.consistency_token.clone());
    if write.replayed {
        fields
            .add("replayed", "yes: this command had been applied before and was not applied again");
    }
}

/// What is said about the prefix of the log that an answer includes.
pub(crate) fn read_fields(fields: &mut Fields, read: Option<&ReadMetadata>) {
    let Some(read) = read else { return };
    fields.add("as of", read.as_of.clone());
    fields.add("as of time", time(read.as_of_time.as_ref()));
    fields.add("staleness", duration(read.staleness.as_ref()));
}

/// All that is known of an account.
pub(crate) fn account_fields(fields: &mut Fields, account: &Account) {
    let status = account.status();
    fields
        .add("account", account.account_id.clone())
        .add("owner", account.owner_id.clone())
        .add("status", enum_word(AccountStatus::as_str_name(&status), "ACCOUNT_STATUS_"))
        .add("balance", money(account.balance.as_ref()))
        .add("available", money(account.available.as_ref()))
        .add("held", money(account.held.as_ref()))
        .add("overdraft limit", minor_units(account.overdraft_limit, &account.currency_code))
        .add("version", account.version.to_string())
        .add("opened", time(account.open_time.as_ref()))
        .add("updated", time(account.update_time.as_ref()));
    let labels: Vec<String> =
        account.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    fields.add("labels", labels.join(", "));
}

/// A statement, or a single line of one.
pub(crate) fn transaction_table(transactions: &[Transaction]) -> Table {
    let mut table = Table::new(&[
        "transaction",
        "effective",
        "type",
        ">amount",
        ">balance after",
        "counterparty",
        "reference",
    ]);
    for transaction in transactions {
        let kind = transaction.r#type();
        let sign = if transaction.direction() == proto::types::Direction::Debit { "-" } else { "" };
        let when = transaction.effective_time.as_ref().or(transaction.commit_time.as_ref());
        table.row([
            transaction.transaction_id.clone(),
            time(when),
            enum_word(TransactionType::as_str_name(&kind), "TRANSACTION_TYPE_"),
            format!("{sign}{}", money(transaction.amount.as_ref())),
            money(transaction.balance_after.as_ref()),
            transaction.counterparty.clone(),
            transaction.reference.clone(),
        ]);
    }
    table
}

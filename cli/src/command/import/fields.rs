//! Reading one line: which cell is which, and what it must look like.

use csv::StringRecord;
use ledger::{AccountId, Amount, Currency, OwnerId, Text};

use super::row::{Row, RowCommand};
use crate::command::movement::effective_time;

/// Longest transaction number.
const TRANSACTION_BYTES_MAX: usize = 256;

/// Where each column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    transaction: usize,
    account: usize,
    command: usize,
    currency: usize,
    amount: AmountColumn,
    date: Option<usize>,
    counterparty: Option<usize>,
    reference: Option<usize>,
    balance_after: Option<usize>,
    owner: Option<usize>,
}

/// In which form amounts, and with them balances, are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AmountColumn {
    MinorUnits(usize),
    Decimal(usize),
}

/// Every name that a column can have.
const NAMES: [&str; 11] = [
    "transaction",
    "account",
    "command",
    "currency",
    "minor_units",
    "amount",
    "date",
    "counterparty",
    "reference",
    "balance_after",
    "owner",
];

/// One line, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) account_id: AccountId,
    pub(super) currency: Currency,
    pub(super) owner_id: Option<OwnerId>,
    pub(super) row: Row,
}

impl Columns {
    /// Reads the heading. A name that is not known is an error: it may be a known one misspelt, and what it says would be lost.
    pub(super) fn find(heading: &StringRecord) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for (index, name) in heading.iter().enumerate() {
            let name = name.trim();
            if !NAMES.contains(&name) {
                let known = NAMES.join(", ");
                problems.push(format!("column {name:?} is none of {known}: rename or remove it"));
            }
            if heading.iter().take(index).any(|earlier| earlier.trim() == name) {
                problems.push(format!("column {name:?} stands there twice"));
            }
        }
        let place = |name: &str| heading.iter().position(|cell| cell.trim() == name);
        let mut required = |name: &str| {
            place(name).unwrap_or_else(|| {
                problems.push(format!("column {name:?} is missing"));
                0
            })
        };
        let (transaction, account) = (required("transaction"), required("account"));
        let (command, currency) = (required("command"), required("currency"));
        let amount = match (place("minor_units"), place("amount")) {
            (Some(place), None) => AmountColumn::MinorUnits(place),
            (None, Some(place)) => AmountColumn::Decimal(place),
            _ => {
                problems
                    .push("exactly one of the columns minor_units and amount is needed".to_owned());
                AmountColumn::MinorUnits(0)
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let [date, counterparty, reference, balance_after, owner] =
            ["date", "counterparty", "reference", "balance_after", "owner"].map(place);
        Ok(Self {
            transaction,
            account,
            command,
            currency,
            amount,
            date,
            counterparty,
            reference,
            balance_after,
            owner,
        })
    }

    /// Reads one line; all that is wrong with it.
    pub(super) fn read(&self, record: &StringRecord, line: u64) -> Result<Line, Vec<String>> {
        let mut problems = Vec::new();
        let read = self.read_noting(record, line, &mut problems);
        match read {
            Some(line) if problems.is_empty() => Ok(line),
            _ => Err(problems),
        }
    }

    fn read_noting(
        &self,
        record: &StringRecord,
        line: u64,
        problems: &mut Vec<String>,
    ) -> Option<Line> {
        let cell = |place: usize| record.get(place).unwrap_or_default().trim();
        let optional = |place: Option<usize>| place.map(cell).filter(|cell| !cell.is_empty());
        let mut note = |name: &str, text: &str, why: &str| {
            problems.push(format!("{name} {text:?} {why}"));
        };
        let transaction = cell(self.transaction);
        if transaction.is_empty() || transaction.len() > TRANSACTION_BYTES_MAX {
            note("transaction", transaction, "must be 1 to 256 bytes");
        }
        let account_id = AccountId::new(cell(self.account));
        let account_id =
            account_id.map_err(|why| note("account", cell(self.account), &why.to_string()));
        let command = RowCommand::parse(cell(self.command));
        if command.is_none() {
            note("command", cell(self.command), "is none of deposit, withdraw, pay_bill");
        }
        let owner_id = optional(self.owner)
            .map(|owner| OwnerId::new(owner).map_err(|why| note("owner", owner, &why.to_string())));
        for (name, place) in [("counterparty", self.counterparty), ("reference", self.reference)] {
            if let Some(Err(why)) = optional(place).map(Text::new) {
                note(name, optional(place).unwrap_or_default(), &why.to_string());
            }
        }
        let effective_time = optional(self.date)
            .map(|date| effective_time(date).map_err(|_| note("date", date, "is not YYYY-MM-DD")));
        let currency = Currency::new(cell(self.currency));
        let currency =
            currency.map_err(|why| note("currency", cell(self.currency), &format!("is {why}")));
        let currency = currency.ok()?; // amounts cannot be read without
        let (AmountColumn::MinorUnits(place) | AmountColumn::Decimal(place)) = self.amount;
        let minor_units =
            self.minor_units(cell(place), currency).filter(|n| Amount::new(*n).is_some());
        if minor_units.is_none() {
            note("amount", cell(place), &format!("is not a positive amount in {currency}"));
        }
        let balance_after = optional(self.balance_after).map(|balance| {
            let read = self.minor_units(balance, currency);
            read.ok_or_else(|| {
                note("balance_after", balance, &format!("is not an amount in {currency}"))
            })
        });
        let row = Row {
            line,
            transaction: transaction.to_owned(),
            command: command?,
            minor_units: minor_units?,
            effective_time: effective_time.transpose().ok()?,
            counterparty: optional(self.counterparty).unwrap_or_default().to_owned(),
            reference: optional(self.reference).unwrap_or_default().to_owned(),
            balance_after: balance_after.transpose().ok()?,
        };
        if row.command == RowCommand::PayBill && row.payee().is_empty() {
            note(
                "counterparty",
                "",
                "must name the payee of a pay_bill, or its reference must be set",
            );
        }
        Some(Line {
            account_id: account_id.ok()?,
            currency,
            owner_id: owner_id.transpose().ok()?,
            row,
        })
    }

    fn minor_units(&self, text: &str, currency: Currency) -> Option<i64> {
        match self.amount {
            AmountColumn::MinorUnits(_) => text.parse().ok().filter(|_| !text.starts_with('+')),
            AmountColumn::Decimal(_) => currency.parse_minor_units(text),
        }
    }
}

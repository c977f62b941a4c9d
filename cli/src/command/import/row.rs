//! What a file says, checked.

use ledger::{AccountId, Currency, OwnerId};
use prost_types::Timestamp;

/// One entry of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Where it stands in the file; the heading is line 1.
    pub(super) line: u64,
    /// The bank's own number of the entry.
    pub(super) transaction: String,
    pub(super) command: RowCommand,
    pub(super) minor_units: i64,
    pub(super) effective_time: Option<Timestamp>,
    pub(super) counterparty: String,
    pub(super) reference: String,
    /// What the bank's balance was after it, in minor units.
    pub(super) balance_after: Option<i64>,
}

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowCommand {
    Deposit,
    Withdraw,
    PayBill,
}

impl RowCommand {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Deposit, Self::Withdraw, Self::PayBill]
            .into_iter()
            .find(|command| command.name() == text)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::PayBill => "pay_bill",
        }
    }
}

impl Row {
    /// What the entry adds to the balance, in minor units.
    pub(super) fn change(&self) -> i128 {
        match self.command {
            RowCommand::Deposit => i128::from(self.minor_units),
            RowCommand::Withdraw | RowCommand::PayBill => -i128::from(self.minor_units),
        }
    }

    /// Who is paid. Some banks name only the purpose of a payment.
    pub(super) fn payee(&self) -> &str {
        if self.counterparty.is_empty() { &self.reference } else { &self.counterparty }
    }
}

/// All entries of one account, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AccountRows {
    pub(super) account_id: AccountId,
    pub(super) currency: Currency,
    pub(super) owner_id: Option<OwnerId>,
    pub(super) rows: Vec<Row>,
}

/// The lowest that `balance` comes to while `rows` are applied.
pub(super) fn lowest_balance(balance: i128, rows: &[Row]) -> i128 {
    let balances = rows.iter().scan(balance, |balance, row| {
        *balance += row.change();
        Some(*balance)
    });
    balances.min().unwrap_or(balance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(command: RowCommand, minor_units: i64) -> Row {
        Row {
            line: 2,
            transaction: "1".into(),
            command,
            minor_units,
            effective_time: None,
            counterparty: String::new(),
            reference: "rent".into(),
            balance_after: None,
        }
    }

    #[test]
    fn the_lowest_balance_is_found_anywhere_in_the_rows_to_come() {
        use RowCommand::{Deposit, PayBill, Withdraw};
        let rows = [
            row(Withdraw, 15),
            row(Deposit, 100),
            row(PayBill, 120),
            row(Deposit, 500),
            row(Withdraw, 1),
        ];
        assert_eq!(lowest_balance(10, &rows), -25);
        assert_eq!(lowest_balance(10, &[]), 10);
    }

    #[test]
    fn the_purpose_stands_in_for_a_payee_that_the_bank_does_not_name() {
        let mut bill = row(RowCommand::PayBill, 1);
        assert_eq!(bill.payee(), "rent");
        bill.counterparty = "AB:123".into();
        assert_eq!(bill.payee(), "AB:123");
    }
}

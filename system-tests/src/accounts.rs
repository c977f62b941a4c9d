//! Accounts for tests that need some.

use proto::{types::Money, write};
use uuid::Uuid;

use crate::System;

/// The name of an account.
#[must_use]
pub fn account(number: u64) -> String {
    format!("account-{number}")
}

/// Euros and cents.
#[must_use]
pub fn euros(minor_units: i64) -> Option<Money> {
    Some(Money { currency_code: "EUR".into(), minor_units, display: String::new() })
}

/// Opens accounts with 100 euros in each.
pub async fn open_accounts(system: &System, accounts: u64) {
    for number in 0..accounts {
        let open = write::OpenAccountRequest {
            request_id: Uuid::now_v7().to_string(),
            account_id: account(number),
            owner_id: "owner".into(),
            currency_code: "EUR".into(),
            ..Default::default()
        };
        system.write_client(0).open_account(open).await.unwrap();
        let deposit = write::DepositRequest {
            request_id: Uuid::now_v7().to_string(),
            account_id: account(number),
            amount: euros(10_000),
            ..Default::default()
        };
        system.write_client(0).deposit(deposit).await.unwrap();
    }
}

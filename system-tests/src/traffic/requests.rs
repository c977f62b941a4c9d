//! Commands as messages of the contract.

use proto::{
    types::Money,
    write::{self, command::Kind},
};
use uuid::Uuid;

use crate::model::{Command, Doing, Sum};

fn money(sum: &Sum) -> Option<Money> {
    let currency_code = sum.currency.clone();
    Some(Money { currency_code, minor_units: sum.amount, display: String::new() })
}

/// The message; inside an atomic batch commands have no id of their own.
pub(super) fn message(command: &Command, request_id: Option<Uuid>) -> Kind {
    let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
    let (account_id, expected_version) = (command.account.clone(), command.expected_version);
    match &command.doing {
        Doing::Open { owner, currency, limit } => Kind::OpenAccount(write::OpenAccountRequest {
            request_id,
            account_id,
            owner_id: owner.clone(),
            currency_code: currency.clone(),
            overdraft_limit: *limit,
            ..Default::default()
        }),
        Doing::Deposit(sum) => Kind::Deposit(write::DepositRequest {
            request_id,
            account_id,
            amount: money(sum),
            expected_version,
            ..Default::default()
        }),
        Doing::Withdraw(sum) => Kind::Withdraw(write::WithdrawRequest {
            request_id,
            account_id,
            amount: money(sum),
            expected_version,
            ..Default::default()
        }),
        Doing::PayBill(sum) => Kind::PayBill(write::PayBillRequest {
            request_id,
            account_id,
            amount: money(sum),
            payee: "the waterworks".into(),
            expected_version,
            ..Default::default()
        }),
        Doing::Transfer { to, sum } => Kind::Transfer(write::TransferRequest {
            request_id,
            source_account_id: account_id,
            destination_account_id: to.clone(),
            amount: money(sum),
            expected_version,
            ..Default::default()
        }),
        Doing::SetLimit(limit) => Kind::SetOverdraftLimit(write::SetOverdraftLimitRequest {
            request_id,
            account_id,
            overdraft_limit: *limit,
        }),
        Doing::Freeze => {
            Kind::FreezeAccount(write::FreezeAccountRequest { request_id, account_id })
        }
        Doing::Unfreeze => {
            Kind::UnfreezeAccount(write::UnfreezeAccountRequest { request_id, account_id })
        }
        Doing::Close => Kind::CloseAccount(write::CloseAccountRequest { request_id, account_id }),
    }
}

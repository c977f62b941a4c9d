//! The write service as an import sees it.

use proto::{
    types::{Account, Money},
    write::{
        DepositRequest, DepositResponse, OpenAccountRequest, PayBillRequest, PayBillResponse,
        WithdrawRequest, WithdrawResponse, command::Kind, command_result::Outcome,
        write_service_client::WriteServiceClient,
    },
};
use tonic::Status;
use uuid::Uuid;

use super::{
    row::{AccountRows, Row, RowCommand},
    settle::{Applied, Bank, Opened},
};
use crate::{
    call::{CommandStream, Patience, Undelivered, channel},
    failure::{Failure, Refusal},
};

/// The write service through one stream for all accounts; each command is repeated until it is answered or patience ends.
pub(super) struct WriteServiceBank {
    stream: CommandStream,
}

impl WriteServiceBank {
    pub(super) fn connect(addr: &str, patience: Patience) -> Result<Self, Failure> {
        let client = WriteServiceClient::new(channel(addr)?);
        Ok(Self { stream: CommandStream::new(client, patience) })
    }
}

impl Bank for WriteServiceBank {
    async fn open(&self, account: &AccountRows, request_id: Uuid) -> Result<Opened, Undelivered> {
        let owner_id = account.owner_id.as_ref().map(|id| id.as_str().to_owned());
        let command = Kind::OpenAccount(OpenAccountRequest {
            request_id: request_id.to_string(),
            account_id: account.account_id.to_string(),
            owner_id: owner_id.unwrap_or_default(),
            currency_code: account.currency.to_string(),
            ..OpenAccountRequest::default()
        });
        let Outcome::OpenAccount(response) = self.stream.deliver(command).await? else {
            return Err(unexpected("the answer is to another command"));
        };
        Ok(Opened {
            replayed: response.write.unwrap_or_default().replayed,
            balance: response
                .account
                .and_then(|Account { balance, .. }| Some(balance?.minor_units)),
        })
    }

    async fn execute(
        &self,
        account: &AccountRows,
        row: &Row,
        request_id: Uuid,
    ) -> Result<Applied, Undelivered> {
        let command = command(account, row, request_id);
        let (write, transaction) = match self.stream.deliver(command).await? {
            Outcome::Deposit(DepositResponse { write, transaction, .. })
            | Outcome::Withdraw(WithdrawResponse { write, transaction, .. })
            | Outcome::PayBill(PayBillResponse { write, transaction, .. }) => (write, transaction),
            _ => return Err(unexpected("the answer is to another command")),
        };
        let balance_after = transaction.and_then(|transaction| transaction.balance_after);
        let Some(Money { minor_units, .. }) = balance_after else {
            return Err(unexpected("the answer has no transaction with a balance"));
        };
        let replayed = write.unwrap_or_default().replayed;
        Ok(Applied { replayed, balance_after: minor_units })
    }
}

fn command(account: &AccountRows, row: &Row, request_id: Uuid) -> Kind {
    let request_id = request_id.to_string();
    let account_id = account.account_id.to_string();
    let amount = Some(Money {
        currency_code: account.currency.to_string(),
        minor_units: row.minor_units,
        display: String::new(),
    });
    let reference = row.reference.clone();
    let counterparty = row.counterparty.clone();
    let effective_time = row.effective_time;
    match row.command {
        RowCommand::Deposit => Kind::Deposit(DepositRequest {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version: None,
        }),
        RowCommand::Withdraw => Kind::Withdraw(WithdrawRequest {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version: None,
        }),
        RowCommand::PayBill => Kind::PayBill(PayBillRequest {
            request_id,
            account_id,
            amount,
            payee: row.payee().to_owned(),
            reference,
            effective_time,
            expected_version: None,
        }),
    }
}

/// An answer that this service never gives.
fn unexpected(what: &'static str) -> Undelivered {
    Undelivered::Refused(Refusal::new(&Status::unimplemented(what)))
}

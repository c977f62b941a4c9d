//! The write service as an import sees it.

use proto::{
    types::{Account, Money, Transaction},
    write::{
        DepositRequest, OpenAccountRequest, PayBillRequest, WithdrawRequest, WriteMetadata,
        write_service_client::WriteServiceClient,
    },
};
use tonic::{Response, Status, transport::Channel};
use uuid::Uuid;

use super::{
    row::{AccountRows, Row, RowCommand},
    settle::{Applied, Bank, Opened},
};
use crate::{
    call::{Attempt, Patience, Undelivered, channel, deliver},
    failure::{Failure, Refusal},
};

/// A connection to the write service; each command is repeated until it is answered or patience ends.
pub(super) struct WriteServiceBank {
    client: WriteServiceClient<Channel>,
    patience: Patience,
}

/// What all movements are answered with.
type Movement = (Option<WriteMetadata>, Option<Transaction>);

impl WriteServiceBank {
    pub(super) fn connect(addr: &str, patience: Patience) -> Result<Self, Failure> {
        Ok(Self { client: WriteServiceClient::new(channel(addr)?), patience })
    }
}

impl Bank for WriteServiceBank {
    async fn open(&self, account: &AccountRows, request_id: Uuid) -> Result<Opened, Undelivered> {
        let message = |attempt: &Attempt| OpenAccountRequest {
            request_id: attempt.request_id.clone(),
            account_id: account.account_id.to_string(),
            owner_id: account
                .owner_id
                .as_ref()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            currency_code: account.currency.to_string(),
            ..OpenAccountRequest::default()
        };
        let sent = deliver(&self.client, request_id, self.patience, async |mut attempt| {
            let request = attempt.request(message(&attempt));
            attempt.client.open_account(request).await
        });
        let response = sent.await?;
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
        let sent = deliver(&self.client, request_id, self.patience, async |attempt| {
            send(attempt, account, row).await
        });
        let (write, transaction) = sent.await?;
        let balance_after = transaction.and_then(|transaction| transaction.balance_after);
        let Some(Money { minor_units, .. }) = balance_after else {
            let status = Status::unimplemented("the answer has no transaction with a balance");
            return Err(Undelivered::Refused(Refusal::new(&status)));
        };
        let replayed = write.unwrap_or_default().replayed;
        Ok(Applied { replayed, balance_after: minor_units })
    }
}

async fn send(
    mut attempt: Attempt,
    account: &AccountRows,
    row: &Row,
) -> Result<Response<Movement>, Status> {
    let request_id = attempt.request_id.clone();
    let account_id = account.account_id.to_string();
    let amount = Some(Money {
        currency_code: account.currency.to_string(),
        minor_units: row.minor_units,
        display: String::new(),
    });
    let reference = row.reference.clone();
    let effective_time = row.effective_time;
    match row.command {
        RowCommand::Deposit => {
            let counterparty = row.counterparty.clone();
            let request = attempt.request(DepositRequest {
                request_id,
                account_id,
                amount,
                reference,
                counterparty,
                effective_time,
                expected_version: None,
            });
            let response = attempt.client.deposit(request).await?;
            Ok(response.map(|answer| (answer.write, answer.transaction)))
        }
        RowCommand::Withdraw => {
            let counterparty = row.counterparty.clone();
            let request = attempt.request(WithdrawRequest {
                request_id,
                account_id,
                amount,
                reference,
                counterparty,
                effective_time,
                expected_version: None,
            });
            let response = attempt.client.withdraw(request).await?;
            Ok(response.map(|answer| (answer.write, answer.transaction)))
        }
        RowCommand::PayBill => {
            let payee = row.payee().to_owned();
            let request = attempt.request(PayBillRequest {
                request_id,
                account_id,
                amount,
                payee,
                reference,
                effective_time,
                expected_version: None,
            });
            let response = attempt.client.pay_bill(request).await?;
            Ok(response.map(|answer| (answer.write, answer.transaction)))
        }
    }
}

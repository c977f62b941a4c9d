//! `counterfoil withdraw`

use clap::Args;
use proto::write::WithdrawRequest;

use super::movement::{MovementArgs, print_movement};
use crate::{
    amount::AmountArgs,
    call::WriteArgs,
    failure::Failure,
    output::{money, print_json},
};

/// Takes out money that leaves the ledger.
#[derive(Args)]
pub(crate) struct Withdraw {
    /// The account to take from
    account: String,
    #[command(flatten)]
    amount: AmountArgs,
    /// Where it goes
    #[arg(long, default_value = "", hide_default_value = true)]
    counterparty: String,
    #[command(flatten)]
    movement: MovementArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl Withdraw {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let amount = self.amount.money()?;
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(WithdrawRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
                counterparty: self.counterparty.clone(),
                amount: Some(amount.clone()),
                reference: self.movement.reference.clone(),
                effective_time: self.movement.effective_time,
                expected_version: self.movement.expected_version,
            });
            attempt.client.withdraw(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.WithdrawResponse", &response);
        }
        let done = format!("Withdrew {} from {}", money(Some(&amount)), self.account);
        let accounts = [response.account.as_ref()];
        let transaction = response.transaction.as_ref();
        print_movement(&done, request_id, response.write.as_ref(), transaction, &accounts);
        Ok(())
    }
}

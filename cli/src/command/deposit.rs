//! `counterfoil deposit`

use clap::Args;
use proto::write::DepositRequest;

use super::movement::{MovementArgs, print_movement};
use crate::{
    amount::AmountArgs,
    call::WriteArgs,
    failure::Failure,
    output::{money, print_json},
};

/// Adds money that comes from outside the ledger.
#[derive(Args)]
pub(crate) struct Deposit {
    /// The account to add to
    account: String,
    #[command(flatten)]
    amount: AmountArgs,
    /// Where it comes from
    #[arg(long, default_value = "", hide_default_value = true)]
    counterparty: String,
    #[command(flatten)]
    movement: MovementArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl Deposit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let amount = self.amount.money()?;
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(DepositRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
                counterparty: self.counterparty.clone(),
                amount: Some(amount.clone()),
                reference: self.movement.reference.clone(),
                effective_time: self.movement.effective_time,
                expected_version: self.movement.expected_version,
            });
            attempt.client.deposit(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.DepositResponse", &response);
        }
        let done = format!("Deposited {} to {}", money(Some(&amount)), self.account);
        let accounts = [response.account.as_ref()];
        let transaction = response.transaction.as_ref();
        print_movement(&done, request_id, response.write.as_ref(), transaction, &accounts);
        Ok(())
    }
}

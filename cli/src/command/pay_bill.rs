//! `counterfoil pay-bill`

use clap::Args;
use proto::write::PayBillRequest;

use super::movement::{MovementArgs, print_movement};
use crate::{
    amount::AmountArgs,
    call::WriteArgs,
    failure::Failure,
    output::{money, print_json},
};

/// Takes out money to pay a bill.
#[derive(Args)]
pub(crate) struct PayBill {
    /// The account to take from
    account: String,
    #[command(flatten)]
    amount: AmountArgs,
    /// Who is paid
    #[arg(long)]
    payee: String,
    #[command(flatten)]
    movement: MovementArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl PayBill {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let amount = self.amount.money()?;
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(PayBillRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
                payee: self.payee.clone(),
                amount: Some(amount.clone()),
                reference: self.movement.reference.clone(),
                effective_time: self.movement.effective_time,
                expected_version: self.movement.expected_version,
            });
            attempt.client.pay_bill(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.PayBillResponse", &response);
        }
        let done = format!("Paid {} to {} from {}", money(Some(&amount)), self.payee, self.account);
        let accounts = [response.account.as_ref()];
        let transaction = response.transaction.as_ref();
        print_movement(&done, request_id, response.write.as_ref(), transaction, &accounts);
        Ok(())
    }
}

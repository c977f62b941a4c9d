//! `counterfoil transfer`

use clap::Args;
use proto::write::TransferRequest;

use super::movement::{MovementArgs, print_movement};
use crate::{
    amount::AmountArgs,
    call::WriteArgs,
    failure::Failure,
    output::{money, print_json},
};

/// Moves money between two accounts: both sides or neither.
#[derive(Args)]
pub(crate) struct Transfer {
    /// The account to take from
    source: String,
    /// The account to add to
    destination: String,
    #[command(flatten)]
    amount: AmountArgs,
    #[command(flatten)]
    movement: MovementArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl Transfer {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let amount = self.amount.money()?;
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(TransferRequest {
                request_id: attempt.request_id.clone(),
                source_account_id: self.source.clone(),
                destination_account_id: self.destination.clone(),
                amount: Some(amount.clone()),
                reference: self.movement.reference.clone(),
                effective_time: self.movement.effective_time,
                expected_version: self.movement.expected_version,
            });
            attempt.client.transfer(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.TransferResponse", &response);
        }
        let done = format!(
            "Transferred {} from {} to {}",
            money(Some(&amount)),
            self.source,
            self.destination
        );
        let accounts = [response.source_account.as_ref(), response.destination_account.as_ref()];
        let transaction = response.transaction.as_ref();
        print_movement(&done, request_id, response.write.as_ref(), transaction, &accounts);
        Ok(())
    }
}

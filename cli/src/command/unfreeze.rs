//! `counterfoil unfreeze`

use clap::Args;
use proto::write::UnfreezeAccountRequest;

use super::movement::print_account;
use crate::{call::WriteArgs, failure::Failure, output::print_json};

/// Accepts debits again.
#[derive(Args)]
pub(crate) struct Unfreeze {
    /// The account
    account: String,
    #[command(flatten)]
    write: WriteArgs,
}

impl Unfreeze {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(UnfreezeAccountRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
            });
            attempt.client.unfreeze_account(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.UnfreezeAccountResponse", &response);
        }
        let done = format!("Unfroze {}", self.account);
        print_account(&done, request_id, response.write.as_ref(), response.account.as_ref());
        Ok(())
    }
}

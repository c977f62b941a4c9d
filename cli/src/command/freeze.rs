//! `counterfoil freeze`

use clap::Args;
use proto::write::FreezeAccountRequest;

use super::movement::print_account;
use crate::{call::WriteArgs, failure::Failure, output::print_json};

/// Refuses all debits from now on; credits are still accepted.
#[derive(Args)]
pub(crate) struct Freeze {
    /// The account
    account: String,
    #[command(flatten)]
    write: WriteArgs,
}

impl Freeze {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(FreezeAccountRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
            });
            attempt.client.freeze_account(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.FreezeAccountResponse", &response);
        }
        let done = format!("Froze {}", self.account);
        print_account(&done, request_id, response.write.as_ref(), response.account.as_ref());
        Ok(())
    }
}

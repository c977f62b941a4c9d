//! `counterfoil close`

use clap::Args;
use proto::write::CloseAccountRequest;

use super::movement::print_account;
use crate::{call::WriteArgs, failure::Failure, output::print_json};

/// Closes an account for ever. Its history stays, and so does its id.
#[derive(Args)]
pub(crate) struct Close {
    /// The account
    account: String,
    #[command(flatten)]
    write: WriteArgs,
}

impl Close {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(CloseAccountRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
            });
            attempt.client.close_account(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.CloseAccountResponse", &response);
        }
        let done = format!("Closed {}", self.account);
        print_account(&done, request_id, response.write.as_ref(), response.account.as_ref());
        Ok(())
    }
}

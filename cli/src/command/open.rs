//! `counterfoil open`

use clap::Args;
use proto::write::OpenAccountRequest;

use super::movement::print_account;
use crate::{amount, call::WriteArgs, failure::Failure, output::print_json};

/// Opens an account with a zero balance.
#[derive(Args)]
pub(crate) struct Open {
    /// Id of the new account
    account: String,
    /// Its only currency, such as EUR
    currency: String,
    /// Who owns it
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,
    /// How far below zero it may go, such as 100.00, in its currency
    #[arg(long, default_value = "0", value_name = "AMOUNT")]
    overdraft_limit: String,
    /// A key and value kept with the account; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    write: WriteArgs,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Open {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let currency = amount::currency(&self.currency)?;
        let overdraft_limit = amount::minor_units(&self.overdraft_limit, currency)?;
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(OpenAccountRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
                owner_id: self.owner.clone(),
                currency_code: currency.to_string(),
                overdraft_limit,
                labels: self.label.iter().cloned().collect(),
            });
            attempt.client.open_account(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.OpenAccountResponse", &response);
        }
        let done = format!("Opened {}", self.account);
        print_account(&done, request_id, response.write.as_ref(), response.account.as_ref());
        Ok(())
    }
}

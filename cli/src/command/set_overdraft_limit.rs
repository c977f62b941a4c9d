//! `counterfoil set-overdraft-limit`

use clap::Args;
use ledger::Currency;
use proto::{
    read::{GetAccountRequest, read_service_client::ReadServiceClient},
    write::SetOverdraftLimitRequest,
};

use super::movement::print_account;
use crate::{
    amount,
    call::{WriteArgs, channel},
    failure::{Failure, Refusal},
    output::print_json,
    settings::ReadAddr,
};

/// Sets how far below zero an account may go.
#[derive(Args)]
pub(crate) struct SetOverdraftLimit {
    /// The account to change
    account: String,
    /// The new limit with its currency, such as `100 EUR`; zero for none
    #[arg(num_args = 1..=2, value_names = ["AMOUNT", "CURRENCY"], required_unless_present = "minor_units")]
    limit: Vec<String>,
    /// The new limit in minor units of the account's currency, instead of an amount
    #[arg(long, conflicts_with = "limit", value_name = "NUMBER")]
    minor_units: Option<i64>,
    #[command(flatten)]
    read_addr: ReadAddr,
    #[command(flatten)]
    write: WriteArgs,
}

impl SetOverdraftLimit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let overdraft_limit = match self.minor_units {
            Some(minor_units) => minor_units,
            None => self.limit_in_the_accounts_currency().await?,
        };
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(SetOverdraftLimitRequest {
                request_id: attempt.request_id.clone(),
                account_id: self.account.clone(),
                overdraft_limit,
            });
            attempt.client.set_overdraft_limit(request).await
        });
        let (request_id, response) = sent.await?;
        if self.write.json {
            return print_json("counterfoil.write.v1.SetOverdraftLimitResponse", &response);
        }
        let done = format!("Set the overdraft limit of {}", self.account);
        print_account(&done, request_id, response.write.as_ref(), response.account.as_ref());
        Ok(())
    }

    /// The command itself names no currency, so a limit in another one has to be noticed here.
    async fn limit_in_the_accounts_currency(&self) -> Result<i64, Failure> {
        let (minor_units, typed) = amount::parse(&self.limit.join(" "))?;
        let addr = self.read_addr.get();
        let mut client = ReadServiceClient::new(channel(&addr)?);
        let request = GetAccountRequest { account_id: self.account.clone(), consistency: None };
        let answer = client.get_account(request).await.map_err(|status| {
            let mut refusal = Refusal::new(&status);
            let limit = minor_units.to_string();
            let without_it = ["set-overdraft-limit", &self.account, "--minor-units", &limit];
            refusal.next = Some(format!(
                "the account's currency is looked up at the read service; without it, give the limit in minor \
                 units of that currency:\n  {}",
                self.write.sibling_command(without_it)
            ));
            Failure::from(refusal.at(&addr)).in_json(self.write.json)
        })?;
        let held = answer.into_inner().account.unwrap_or_default().currency_code;
        if Currency::new(&held) == Ok(typed) {
            return Ok(minor_units);
        }
        Err(Failure::usage(format!("{} holds {held}, not {typed}", self.account)))
    }
}

//! `counterfoil balance`

use clap::Args;
use proto::read::GetBalanceRequest;

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, money, out, print_json, read_fields},
};

/// Shows an account's balance.
#[derive(Args)]
pub(crate) struct Balance {
    /// The account
    account: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Balance {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let consistency = self.read.consistency()?;
        let request = GetBalanceRequest { account_id: self.account, consistency };
        let query =
            self.read.ask(request, async |mut client, query| client.get_balance(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.GetBalanceResponse", &response);
        }
        let mut fields = Fields::default();
        fields
            .add("account", response.account_id.clone())
            .add("balance", money(response.balance.as_ref()))
            .add("available", money(response.available.as_ref()))
            .add("held", money(response.held.as_ref()))
            .add("version", response.version.to_string());
        read_fields(&mut fields, response.read.as_ref());
        out!("{fields}");
        Ok(())
    }
}

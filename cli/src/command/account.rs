//! `counterfoil account`

use clap::Args;
use proto::read::GetAccountRequest;

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, account_fields, out, print_json, read_fields},
};

/// Shows an account with all that is known of it.
#[derive(Args)]
pub(crate) struct Account {
    /// The account
    account: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Account {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let consistency = self.read.consistency()?;
        let request = GetAccountRequest { account_id: self.account, consistency };
        let query =
            self.read.ask(request, async |mut client, query| client.get_account(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.GetAccountResponse", &response);
        }
        let mut fields = Fields::default();
        if let Some(account) = &response.account {
            account_fields(&mut fields, account);
        }
        read_fields(&mut fields, response.read.as_ref());
        out!("{fields}");
        Ok(())
    }
}

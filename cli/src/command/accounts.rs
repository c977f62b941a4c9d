//! `counterfoil accounts`

use clap::Args;
use proto::{
    read::{ListAccountsRequest, ListAccountsResponse},
    types::AccountStatus,
};

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, Table, enum_word, money, out, print_json, read_fields},
};

/// Lists an owner's accounts.
#[derive(Args)]
pub(crate) struct Accounts {
    /// The owner
    owner: String,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    page_size: i32,
    /// Go on after the page that printed this
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Accounts {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let request = ListAccountsRequest {
            owner_id: self.owner,
            page_size: self.page_size,
            page_token: self.page_token,
            consistency: self.read.consistency()?,
        };
        let query =
            self.read.ask(request, async |mut client, query| client.list_accounts(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.ListAccountsResponse", &response);
        }
        print(&response);
        Ok(())
    }
}

fn print(response: &ListAccountsResponse) {
    let mut table = Table::new(&["account", "status", ">balance", ">available", ">version"]);
    for account in &response.accounts {
        table.row([
            account.account_id.clone(),
            enum_word(AccountStatus::as_str_name(&account.status()), "ACCOUNT_STATUS_"),
            money(account.balance.as_ref()),
            money(account.available.as_ref()),
            account.version.to_string(),
        ]);
    }
    let mut fields = Fields::default();
    fields.add("next page", response.next_page_token.clone());
    read_fields(&mut fields, response.read.as_ref());
    match table.is_empty() {
        true => out!("no accounts\n"),
        false => out!("{table}"),
    }
    out!("\n{fields}");
}

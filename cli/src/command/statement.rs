//! `counterfoil statement`

use clap::Args;
use proto::read::{ListTransactionsRequest, ListTransactionsResponse};

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, out, print_json, read_fields, transaction_table},
};

/// Largest page that the read service gives.
const PAGE_SIZE_MAX: i32 = 500;

/// Shows an account's transactions, newest first, each with the balance after it.
#[derive(Args)]
pub(crate) struct Statement {
    /// The account
    account: String,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "NUMBER", conflicts_with = "all")]
    page_size: i32,
    /// Go on after the page that printed this
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    /// All pages, from the newest transaction to the first
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    read: ReadArgs,
}

impl Statement {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut statement = self.page(self.page_token.clone()).await?;
        while self.all && !statement.next_page_token.is_empty() {
            let older = self.page(statement.next_page_token.clone()).await?;
            // What all pages include is what the first did: later entries are not on older pages.
            statement.transactions.extend(older.transactions);
            statement.next_page_token = older.next_page_token;
        }
        if self.read.json {
            return print_json("counterfoil.read.v1.ListTransactionsResponse", &statement);
        }
        let table = transaction_table(&statement.transactions);
        let mut fields = Fields::default();
        fields.add("next page", statement.next_page_token.clone());
        read_fields(&mut fields, statement.read.as_ref());
        match table.is_empty() {
            true => out!("no transactions\n"),
            false => out!("{table}"),
        }
        out!("\n{fields}");
        Ok(())
    }

    async fn page(&self, page_token: String) -> Result<ListTransactionsResponse, Failure> {
        let request = ListTransactionsRequest {
            account_id: self.account.clone(),
            page_size: if self.all { PAGE_SIZE_MAX } else { self.page_size },
            page_token,
            consistency: self.read.consistency()?,
        };
        self.read
            .ask(request, async |mut client, query| client.list_transactions(query).await)
            .await
    }
}

//! `counterfoil balances`

use clap::Args;
use proto::read::BatchGetBalancesRequest;

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, Table, money, out, print_json, read_fields},
};

/// Shows the balances of up to 1,000 accounts at one moment.
#[derive(Args)]
pub(crate) struct Balances {
    /// The accounts
    #[arg(required = true)]
    accounts: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
}

impl Balances {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let consistency = self.read.consistency()?;
        let request = BatchGetBalancesRequest { account_ids: self.accounts, consistency };
        let query = self
            .read
            .ask(request, async |mut client, query| client.batch_get_balances(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.BatchGetBalancesResponse", &response);
        }
        let mut table = Table::new(&["account", ">balance", ">available", ">held", ">version"]);
        for balance in &response.balances {
            table.row([
                balance.account_id.clone(),
                money(balance.balance.as_ref()),
                money(balance.available.as_ref()),
                money(balance.held.as_ref()),
                balance.version.to_string(),
            ]);
        }
        let mut fields = Fields::default();
        read_fields(&mut fields, response.read.as_ref());
        out!("{table}\n{fields}");
        Ok(())
    }
}

//! `counterfoil latest`

use clap::Args;
use proto::read::GetLatestTransactionRequest;

use super::transaction::print_transaction;
use crate::{call::ReadArgs, failure::Failure, output::print_json};

/// Shows an account's newest transaction.
#[derive(Args)]
pub(crate) struct Latest {
    /// The account
    account: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Latest {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let consistency = self.read.consistency()?;
        let request = GetLatestTransactionRequest { account_id: self.account, consistency };
        let query = self
            .read
            .ask(request, async |mut client, query| client.get_latest_transaction(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.GetLatestTransactionResponse", &response);
        }
        print_transaction(response.transaction.as_ref(), response.read.as_ref());
        Ok(())
    }
}

//! `counterfoil transaction`

use clap::Args;
use proto::{
    read::{GetTransactionRequest, ReadMetadata},
    types,
};

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, enum_word, money, out, print_json, read_fields, time},
};

/// Shows a transaction; of a transfer, the source's side.
#[derive(Args)]
pub(crate) struct Transaction {
    /// Its id, `<shard>-<position>`
    transaction: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Transaction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let consistency = self.read.consistency()?;
        let request = GetTransactionRequest { transaction_id: self.transaction, consistency };
        let query =
            self.read.ask(request, async |mut client, query| client.get_transaction(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.GetTransactionResponse", &response);
        }
        print_transaction(response.transaction.as_ref(), response.read.as_ref());
        Ok(())
    }
}

/// One transaction with all that is known of it.
pub(crate) fn print_transaction(
    transaction: Option<&types::Transaction>,
    read: Option<&ReadMetadata>,
) {
    let mut fields = Fields::default();
    match transaction {
        None => out!("no transaction yet\n"),
        Some(transaction) => {
            let kind = transaction.r#type();
            let direction = transaction.direction();
            fields
                .add("transaction", transaction.transaction_id.clone())
                .add("account", transaction.account_id.clone())
                .add("type", enum_word(kind.as_str_name(), "TRANSACTION_TYPE_"))
                .add("direction", enum_word(direction.as_str_name(), "DIRECTION_"))
                .add("amount", money(transaction.amount.as_ref()))
                .add("balance after", money(transaction.balance_after.as_ref()))
                .add("version", transaction.version.to_string())
                .add("counterparty", transaction.counterparty.clone())
                .add("reference", transaction.reference.clone())
                .add("effective", time(transaction.effective_time.as_ref()))
                .add("recorded", time(transaction.commit_time.as_ref()));
        }
    }
    read_fields(&mut fields, read);
    out!("{fields}");
}

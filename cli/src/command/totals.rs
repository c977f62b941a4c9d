//! `counterfoil totals`

use clap::Args;
use ledger::Currency;
use proto::read::{GetTotalsRequest, GetTotalsResponse};

use crate::{
    call::ReadArgs,
    failure::{Failure, REFUSED},
    output::{Fields, Table, out, print_json, read_fields},
};

/// Shows the trial balance: what came in less what went out equals what is there. Ends with 1 if it does not.
#[derive(Args)]
pub(crate) struct Totals {
    #[command(flatten)]
    read: ReadArgs,
}

impl Totals {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let request = GetTotalsRequest { consistency: self.read.consistency()? };
        let query =
            self.read.ask(request, async |mut client, query| client.get_totals(query).await);
        let response = query.await?;
        match self.read.json {
            true => print_json("counterfoil.read.v1.GetTotalsResponse", &response)?,
            false => print(&response),
        }
        match response.totals.iter().all(|totals| totals.balanced) {
            true => Ok(()),
            false => Err(Failure::reported(REFUSED)),
        }
    }
}

fn print(response: &GetTotalsResponse) {
    let mut table = Table::new(&[
        "currency",
        ">accounts",
        ">deposits",
        ">withdrawals",
        ">in transit",
        ">balances",
        "balanced",
    ]);
    for totals in &response.totals {
        let sum = |minor_units: &str| sum(minor_units, &totals.currency_code);
        table.row([
            totals.currency_code.clone(),
            totals.account_count.to_string(),
            sum(&totals.deposits),
            sum(&totals.withdrawals),
            sum(&totals.in_transit),
            sum(&totals.balances),
            if totals.balanced { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    let mut fields = Fields::default();
    read_fields(&mut fields, response.read.as_ref());
    out!("{table}\n{fields}");
}

/// Sums may be larger than an `i64`, so they come as text, and the point is set in the text.
fn sum(minor_units: &str, code: &str) -> String {
    let Ok(currency) = Currency::new(code) else { return minor_units.to_owned() };
    let scale = currency.scale();
    let (sign, digits) = match minor_units.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", minor_units),
    };
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn sums_larger_than_any_machine_number_are_shown_exactly() {
        assert_eq!(sum("184467440737095516151", "EUR"), "1844674407370955161.51");
        assert_eq!(sum("-5", "EUR"), "-0.05");
        assert_eq!(sum("0", "BHD"), "0.000");
        assert_eq!(sum("-12", "JPY"), "-12");
    }
}

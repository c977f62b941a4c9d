//! Amounts as people type them: `12.34 EUR`, in two words or one.

use clap::Args;
use ledger::Currency;
use proto::types::Money;

use crate::failure::Failure;

/// A positive amount on the command line.
#[derive(Args)]
pub(crate) struct AmountArgs {
    /// The amount with its currency, such as `12.34 EUR`
    #[arg(required = true, num_args = 1..=2, value_names = ["AMOUNT", "CURRENCY"])]
    amount: Vec<String>,
}

impl AmountArgs {
    pub(crate) fn money(&self) -> Result<Money, Failure> {
        let (minor_units, currency) = parse(&self.amount.join(" "))?;
        Ok(Money { currency_code: currency.to_string(), minor_units, display: String::new() })
    }
}

/// Reads `12.34 EUR` into minor units and currency. Zero is fine here; the services judge that.
pub(crate) fn parse(text: &str) -> Result<(i64, Currency), Failure> {
    let mut words = text.split_whitespace();
    let (Some(number), Some(code), None) = (words.next(), words.next(), words.next()) else {
        return Err(Failure::usage(format!(
            "{text:?} is not an amount with its currency, such as 12.34 EUR"
        )));
    };
    let currency = currency(code)?;
    let minor_units = minor_units(number, currency)?;
    Ok((minor_units, currency))
}

/// Reads a currency code as the services want it, in capitals.
pub(crate) fn currency(code: &str) -> Result<Currency, Failure> {
    Currency::new(code)
        .map_err(|_| Failure::usage(format!("{code:?} is not an ISO 4217 currency, such as EUR")))
}

/// Reads `12.34` in minor units of the currency; negative amounts have no use on the command line.
pub(crate) fn minor_units(number: &str, currency: Currency) -> Result<i64, Failure> {
    let read = currency.parse_minor_units(number).filter(|minor_units| *minor_units >= 0);
    read.ok_or_else(|| {
        let places = match currency.scale() {
            0 => "without decimal places".to_owned(),
            scale => format!("with at most {scale} decimal places after a point"),
        };
        Failure::usage(format!("{number:?} is not an amount in {currency}: digits {places}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(i64, String)> {
        parse(text).ok().map(|(minor_units, currency)| (minor_units, currency.to_string()))
    }

    #[test]
    fn an_amount_is_a_number_and_a_currency() {
        assert_eq!(parsed("12.34 EUR"), Some((1234, "EUR".into())));
        assert_eq!(parsed(" 12 \t EUR "), Some((1200, "EUR".into())));
        assert_eq!(parsed("1234 JPY"), Some((1234, "JPY".into())));
        assert_eq!(parsed("1.234 BHD"), Some((1234, "BHD".into())));
    }

    #[test]
    fn what_could_be_meant_otherwise_is_no_amount() {
        for text in [
            "",
            "EUR",
            "12.34",
            "12.34EUR",
            "EUR 12.34",
            "12,34 EUR",
            "12.345 EUR",
            "1 234 EUR",
            "-1 EUR",
            "1.5 JPY",
            "12.34 eur",
            "12.34 EUR x",
            "1e3 EUR",
            "99999999999999999999 EUR",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}

//! Money: a currency and a whole number of its smallest unit.

use std::{fmt, num::NonZeroU64};

/// An ISO 4217 currency that has a smallest unit, such as EUR with its cents.
///
/// Codes without one (XXX, XAU and other non-money codes) have no value here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The code is not a currency that an account can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 currency code in capitals with a smallest unit")]
pub struct CurrencyInvalid;

impl Currency {
    /// Reads a code in capitals.
    ///
    /// # Errors
    /// [`CurrencyInvalid`] for anything but a current ISO 4217 code with a smallest unit.
    pub fn new(code: &str) -> Result<Self, CurrencyInvalid> {
        let known = iso_currency::Currency::from_code(code).ok_or(CurrencyInvalid)?;
        known.exponent().ok_or(CurrencyInvalid)?;
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| CurrencyInvalid)?;
        Ok(Self(bytes))
    }

    /// The code, such as `EUR`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked to be a known ASCII code when it was made.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Number of decimal places of the smallest unit: 2 for EUR, 0 for JPY, 3 for BHD.
    #[must_use]
    pub fn scale(&self) -> usize {
        iso_currency::Currency::from_code(self.as_str())
            .and_then(|currency| currency.exponent())
            .map_or(0, usize::from)
    }

    /// Writes minor units as people do: `-12.34`.
    #[must_use]
    pub fn display(&self, minor_units: i64) -> String {
        let scale = self.scale();
        let sign = if minor_units < 0 { "-" } else { "" };
        let digits =
            format!("{:0width$}", minor_units.unsigned_abs(), width = scale.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// Reads what [`Currency::display`] writes; fewer decimal places are fine, more are not.
    #[must_use]
    pub fn parse_minor_units(&self, text: &str) -> Option<i64> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let scale = self.scale();
        let dangling = digits.contains('.') && fraction.is_empty();
        if whole.is_empty() || dangling || fraction.len() > scale {
            return None;
        }
        let all = format!("{whole}{fraction:0<scale$}");
        if !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i128 = all.parse().ok()?;
        let signed = if negative { value.checked_neg()? } else { value };
        i64::try_from(signed).ok()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Money moved by one operation, in minor units: never zero, so "deposit of nothing" has no form, and never more than
/// an `i64`, because that is what the log has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(NonZeroU64);

impl Amount {
    /// The amount, if it is positive.
    #[must_use]
    pub fn new(minor_units: i64) -> Option<Self> {
        u64::try_from(minor_units).ok().and_then(NonZeroU64::new).map(Self)
    }

    /// The amount in minor units; positive.
    #[must_use]
    pub fn minor_units(self) -> i64 {
        i64::try_from(self.0.get()).unwrap_or(i64::MAX) // made from a positive i64
    }
}

/// A positive amount in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_iso_codes_in_capitals_with_a_smallest_unit_are_currencies() {
        for code in ["EUR", "JPY", "BHD", "CZK", "USD"] {
            assert_eq!(Currency::new(code).unwrap().as_str(), code);
        }
        for code in ["", "eur", "EURO", "XXX", "ZZZ", "€", "E R"] {
            assert_eq!(Currency::new(code), Err(CurrencyInvalid), "{code}");
        }
    }

    #[test]
    fn minor_units_are_written_with_the_currencys_own_scale() {
        let [eur, jpy, bhd] = ["EUR", "JPY", "BHD"].map(|code| Currency::new(code).unwrap());
        assert_eq!(eur.display(1234), "12.34");
        assert_eq!(eur.display(-5), "-0.05");
        assert_eq!(eur.display(i64::MIN), "-92233720368547758.08");
        assert_eq!(jpy.display(1234), "1234");
        assert_eq!(bhd.display(1234), "1.234");
    }

    #[test]
    fn reading_an_amount_undoes_writing_it_and_refuses_what_is_not_one() {
        let eur = Currency::new("EUR").unwrap();
        for minor_units in [0, 1, -1, 99, 100, 1234, i64::MAX, i64::MIN] {
            assert_eq!(eur.parse_minor_units(&eur.display(minor_units)), Some(minor_units));
        }
        assert_eq!(eur.parse_minor_units("7"), Some(700));
        assert_eq!(eur.parse_minor_units("7.5"), Some(750));
        for text in
            ["", "-", ".", "7.", ".5", "7.555", "1e3", "+7", "--7", "7,5", "92233720368547758.08"]
        {
            assert_eq!(eur.parse_minor_units(text), None, "{text}");
        }
    }
}

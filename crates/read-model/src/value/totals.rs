//! The trial balance of one shard.

use std::collections::BTreeMap;

use ledger::{Currency, Position};

use super::account::{currency, position};
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// All money of one currency on one shard, in minor units. `i128`, because a sum of many `i64` may not fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyTotals {
    /// The currency.
    pub currency: Currency,
    /// Number of accounts ever opened in it.
    pub accounts: i64,
    /// All deposits.
    pub deposits: i128,
    /// All withdrawals and bill payments.
    pub withdrawals: i128,
    /// Everything sent by transfers.
    pub sent: i128,
    /// Everything received by transfers.
    pub received: i128,
    /// The sum of all balances.
    pub balances: i128,
}

impl CurrencyTotals {
    /// Nothing yet.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self {
            currency,
            accounts: 0,
            deposits: 0,
            withdrawals: 0,
            sent: 0,
            received: 0,
            balances: 0,
        }
    }
}

/// The totals of a shard, by currency, at one position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardTotals {
    /// Place of the last event that changed them; 0 before the first.
    pub position: Option<Position>,
    /// By currency.
    pub currencies: BTreeMap<Currency, CurrencyTotals>,
}

impl ShardTotals {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value.natural(self.position.unwrap_or(Position::ZERO).get());
        value.unsigned(self.currencies.len() as u128);
        for totals in self.currencies.values() {
            value
                .bytes(totals.currency.as_str().as_bytes())
                .natural(totals.accounts)
                .signed(totals.deposits)
                .signed(totals.withdrawals)
                .signed(totals.sent)
                .signed(totals.received)
                .signed(totals.balances);
        }
        value.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("totals", bytes, FORMAT)?;
        let position = position(&mut value)?;
        let mut currencies = BTreeMap::new();
        for _ in 0..value.natural::<u16>()? {
            let totals = CurrencyTotals {
                currency: currency(&mut value)?,
                accounts: value.natural()?,
                deposits: value.signed()?,
                withdrawals: value.signed()?,
                sent: value.signed()?,
                received: value.signed()?,
                balances: value.signed()?,
            };
            if currencies.last_key_value().is_some_and(|(last, _)| *last >= totals.currency) {
                return Err(value.malformed("currencies out of order"));
            }
            currencies.insert(totals.currency, totals);
        }
        value.finish()?;
        Ok(Self { position: (position > Position::ZERO).then_some(position), currencies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{currency, hex, refuses_every_cut_and_addition};

    fn sample() -> ShardTotals {
        let eur = CurrencyTotals {
            accounts: 2,
            deposits: i128::from(i64::MAX) * 3,
            withdrawals: 5,
            sent: 7,
            received: 7,
            balances: -1,
            ..CurrencyTotals::zero(currency("EUR"))
        };
        let jpy = CurrencyTotals::zero(currency("JPY"));
        ShardTotals {
            position: Position::new(300),
            currencies: [eur, jpy].map(|totals| (totals.currency, totals)).into(),
        }
    }

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        assert_eq!(
            hex(&sample().encode()),
            "01ac020245555202faffffffffffffffff050a0e0e014a5059000000000000"
        );
        assert_eq!(ShardTotals::decode(&sample().encode()), Ok(sample()));
        let empty = ShardTotals::default();
        assert_eq!(ShardTotals::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn only_whole_values_are_read() {
        refuses_every_cut_and_addition(&sample().encode(), |b| ShardTotals::decode(b).is_ok());
    }
}

//! Where a transaction's entry stands.

use ledger::{AccountId, Position, StreamVersion};

use super::header::fixed_version;
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// Positions per hash of the index: Redis looks through a small hash from its beginning for every field, so a larger one costs
/// more time than its key costs memory.
const INDEX_POSITIONS: i64 = 64;

/// The part of the transaction index that holds a position.
#[must_use]
pub fn index_of(position: Position) -> i64 {
    position.get() / INDEX_POSITIONS
}

/// The entry of the transaction whose first event is at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexedTransaction {
    /// The account whose row is at that position.
    pub(crate) account_id: AccountId,
    /// The entry's version.
    pub(crate) version: StreamVersion,
}

impl IndexedTransaction {
    /// The version has a fixed width, because the look-up script reads it; the account id is the rest.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value.bytes(&self.version.get().to_be_bytes()).bytes(self.account_id.as_str().as_bytes());
        value.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("indexed transaction", bytes, FORMAT)?;
        let version = fixed_version(&mut value)?;
        let id = std::str::from_utf8(value.rest()).ok();
        let account_id = id
            .and_then(|id| AccountId::new(id).ok())
            .ok_or_else(|| value.malformed("account id"))?;
        Ok(Self { account_id, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{account_id, hex};

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let indexed = IndexedTransaction {
            account_id: account_id("alice"),
            version: StreamVersion::new(258).unwrap(),
        };
        assert_eq!(hex(&indexed.encode()), "01 0000000000000102 616c696365".replace(' ', ""));
        assert_eq!(IndexedTransaction::decode(&indexed.encode()), Ok(indexed));
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        for bad in [&[][..], &[1], &[1, 0, 0, 0, 0, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0]] {
            assert!(IndexedTransaction::decode(bad).is_err(), "{bad:?}");
        }
    }
}

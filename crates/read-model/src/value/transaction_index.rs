//! Where a transaction's entry stands: a record of fixed width per position, so that writing one is not looking for it.

use ledger::{AccountNumber, Position, StreamVersion};

use super::header::{fixed_number, fixed_version};
use crate::codec::{Decoder, Malformed};

/// Positions per part of the index: some kilobytes.
const PART_POSITIONS: i64 = 256;

/// Bytes per position: the account's number and the entry's version.
pub(crate) const RECORD_BYTES: usize = 12;

/// Account numbers per hash of their ids. Redis looks through a small hash from its beginning, so a larger one costs
/// more time than its key costs memory.
pub(crate) const NUMBERS_PER_HASH: i32 = 64;

/// The part of the transaction index that holds a position.
#[must_use]
pub fn index_of(position: Position) -> i64 {
    position.get() / PART_POSITIONS
}

/// The first byte of a position's record in its part.
pub(crate) fn record_start(position: Position) -> usize {
    let within = position.get() % PART_POSITIONS;
    usize::try_from(within).unwrap_or_default() * RECORD_BYTES
}

/// The hash that holds the id of the account with a number.
pub(crate) fn numbers_of(number: AccountNumber) -> i64 {
    i64::from(number.get() / NUMBERS_PER_HASH)
}

/// The entry of the transaction whose first event is at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexedTransaction {
    /// Number of the account whose row is at that position.
    pub(crate) account: AccountNumber,
    /// The entry's version.
    pub(crate) version: StreamVersion,
}

impl IndexedTransaction {
    /// The value to store.
    pub(crate) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        let (account, version) = record.split_at_mut(size_of::<i32>());
        account.copy_from_slice(&self.account.get().to_be_bytes());
        version.copy_from_slice(&self.version.get().to_be_bytes());
        record
    }

    /// Reads a record. `None`: no transaction begins there. A part ends with its last transaction.
    pub(crate) fn decode(record: &[u8]) -> Result<Option<Self>, Malformed> {
        if record.iter().all(|byte| *byte == 0) && matches!(record.len(), 0 | RECORD_BYTES) {
            return Ok(None);
        }
        let mut value = Decoder::without_format("indexed transaction", record);
        let account = fixed_number(&mut value)?;
        let version = fixed_version(&mut value)?;
        value.finish()?;
        Ok(Some(Self { account, version }))
    }
}

/// The positions that have a record in a part of the transaction index as it is stored.
#[must_use]
pub fn indexed_positions(part: i64, bytes: &[u8]) -> Vec<Position> {
    let first = part.saturating_mul(PART_POSITIONS);
    let records = (first..).zip(bytes.chunks(RECORD_BYTES));
    let used = records.filter(|(_, record)| record.iter().any(|byte| *byte != 0));
    used.filter_map(|(position, _)| Position::new(position)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::hex;

    fn indexed() -> IndexedTransaction {
        IndexedTransaction {
            account: AccountNumber::new(5).unwrap(),
            version: StreamVersion::new(258).unwrap(),
        }
    }

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        assert_eq!(hex(&indexed().encode()), "00000005 0000000000000102".replace(' ', ""));
        assert_eq!(IndexedTransaction::decode(&indexed().encode()), Ok(Some(indexed())));
    }

    #[test]
    fn where_nothing_is_stored_no_transaction_begins() {
        for empty in [&[][..], &[0; RECORD_BYTES]] {
            assert_eq!(IndexedTransaction::decode(empty), Ok(None));
        }
        let whole = indexed().encode();
        let too_long = [&whole[..], &[0]].concat();
        let no_account = [&[0; 4][..], &whole[4..]].concat();
        let no_version = [&whole[..4], &[0; 8]].concat();
        for bad in [&whole[..11], &[0; 11], &too_long, &no_account, &no_version] {
            assert!(IndexedTransaction::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_part_says_which_positions_it_has() {
        let position = |at: i64| Position::new(at).unwrap();
        let mut part = vec![0; RECORD_BYTES * 3];
        part[record_start(position(513))..][..RECORD_BYTES].copy_from_slice(&indexed().encode());
        assert_eq!(indexed_positions(index_of(position(513)), &part), [position(513)]);
    }
}

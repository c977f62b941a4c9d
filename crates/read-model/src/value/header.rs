//! The head of an account's statement: how far it goes, and its newest entry.

use ledger::{AccountNumber, Currency, Position, Shard, StreamVersion};

use super::{PackedEntry, StatementEntry, account::currency, account::version};
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 2;

/// How far an account's statement goes. There is one for every account, also for one without any entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementHeader {
    /// The account's number within its shard, by which the log is asked about it.
    pub number: AccountNumber,
    /// The currency of all entries.
    pub currency: Currency,
    /// The last version included.
    pub version: StreamVersion,
    /// The oldest version that is kept; 1 unless history is cut.
    pub oldest: StreamVersion,
    /// Place of the event with the last version.
    pub position: Position,
}

impl StatementHeader {
    /// What a stored value begins with; behind it stands the newest entry, if money has ever moved. All of it has a
    /// fixed width, so that it can be replaced and leave the entry as it is; and the statement script reads both
    /// versions.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .bytes(&self.version.get().to_be_bytes())
            .bytes(&self.oldest.get().to_be_bytes())
            .bytes(&self.number.get().to_be_bytes())
            .bytes(&self.position.get().to_be_bytes())
            .bytes(self.currency.as_str().as_bytes());
        value.finish()
    }

    /// Reads what a stored value begins with, and does not look at the rest.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`StatementHeader::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::read(&mut Decoder::new("statement header", bytes, FORMAT)?)
    }

    fn read(value: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let [version, oldest] = [fixed_version(value)?, fixed_version(value)?];
        if oldest > version {
            return Err(value.malformed("oldest version"));
        }
        let number = fixed_number(value)?;
        let position = Position::new(i64::from_be_bytes(value.array()?));
        let position = position.ok_or_else(|| value.malformed("position"))?;
        let currency = currency(value)?;
        Ok(Self { number, currency, version, oldest, position })
    }
}

pub(super) fn fixed_version(value: &mut Decoder<'_>) -> Result<StreamVersion, Malformed> {
    let version = i64::from_be_bytes(value.array()?);
    StreamVersion::new(version)
        .filter(|version| *version >= StreamVersion::FIRST)
        .ok_or_else(|| value.malformed("version"))
}

pub(super) fn fixed_number(value: &mut Decoder<'_>) -> Result<AccountNumber, Malformed> {
    let number = i32::from_be_bytes(value.array()?);
    AccountNumber::new(number).ok_or_else(|| value.malformed("account number"))
}

/// How far an account's statement goes, and its newest entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestEntry {
    /// How far the statement goes.
    pub header: StatementHeader,
    /// The newest entry; `None` when no money has moved yet.
    pub entry: Option<StatementEntry>,
}

impl LatestEntry {
    /// The value to store, with an entry.
    pub(crate) fn encode(
        header: &StatementHeader,
        version: StreamVersion,
        entry: &PackedEntry,
    ) -> Vec<u8> {
        let mut value = Encoder::behind(header.encode());
        value.natural(version.get()).bytes(entry.as_bytes());
        value.finish()
    }

    /// Reads a stored value of an account of `shard`.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn decode(shard: Shard, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("statement header", bytes, FORMAT)?;
        let header = StatementHeader::read(&mut value)?;
        if value.is_empty() {
            return Ok(Self { header, entry: None });
        }
        let version = version(&mut value)?;
        if version > header.version {
            return Err(value.malformed("newest entry"));
        }
        let entry = StatementEntry::decode(shard, version, value.rest())?;
        Ok(Self { header, entry: Some(entry) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, refuses_every_cut_and_addition, sample_entry, sample_header};

    fn with_entry() -> Vec<u8> {
        let entry = sample_entry();
        LatestEntry::encode(&sample_header(), entry.version, &entry.pack(Shard::ZERO))
    }

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let header = sample_header();
        let golden = "02 0000000000000102 0000000000000040 00000005 000000000000012c 455552";
        assert_eq!(hex(&header.encode()), golden.replace(' ', ""));
        assert_eq!(StatementHeader::decode(&header.encode()), Ok(header));
        let entry = sample_entry();
        let golden = [header.encode(), vec![7], entry.encode(Shard::ZERO)].concat();
        assert_eq!(with_entry(), golden);
    }

    #[test]
    fn the_newest_entry_knows_its_version() {
        let (header, entry) = (sample_header(), sample_entry());
        let read = LatestEntry::decode(Shard::ZERO, &with_entry());
        assert_eq!(read, Ok(LatestEntry { header, entry: Some(entry) }));
        let read = LatestEntry::decode(Shard::ZERO, &header.encode());
        assert_eq!(read, Ok(LatestEntry { header, entry: None }));
    }

    #[test]
    fn only_whole_values_are_read() {
        let header = sample_header().encode();
        let whole = |bytes: &[u8]| LatestEntry::decode(Shard::ZERO, bytes).is_ok();
        refuses_every_cut_and_addition(&header, whole);
        // Without its entry a value is whole too.
        refuses_every_cut_and_addition(&with_entry(), |bytes| bytes != header && whole(bytes));
    }

    #[test]
    fn an_entry_above_its_statement_is_refused() {
        let version = sample_header().version.next();
        let entry = StatementEntry { version, ..sample_entry() };
        let value = LatestEntry::encode(&sample_header(), version, &entry.pack(Shard::ZERO));
        assert!(LatestEntry::decode(Shard::ZERO, &value).is_err());
    }
}

//! The head of an account's statement: how far it goes.

use ledger::{AccountNumber, Currency, Position, StreamVersion};

use super::account::{currency, number, position, version};
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

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
    /// The value to store. Version and oldest version come first and have a fixed width, because the statement
    /// script reads them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .bytes(&self.version.get().to_be_bytes())
            .bytes(&self.oldest.get().to_be_bytes())
            .natural(self.number.get().into())
            .natural(self.position.get())
            .bytes(self.currency.as_str().as_bytes());
        value.finish()
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`StatementHeader::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("statement header", bytes, FORMAT)?;
        let [version, oldest] = [fixed_version(&mut value)?, fixed_version(&mut value)?];
        if oldest > version {
            return Err(value.malformed("oldest version"));
        }
        let number = number(&mut value)?;
        let position = position(&mut value)?;
        let currency = currency(&mut value)?;
        value.finish()?;
        Ok(Self { number, currency, version, oldest, position })
    }
}

pub(super) fn fixed_version(value: &mut Decoder<'_>) -> Result<StreamVersion, Malformed> {
    let version = i64::from_be_bytes(value.array()?);
    StreamVersion::new(version)
        .filter(|version| *version >= StreamVersion::FIRST)
        .ok_or_else(|| value.malformed("version"))
}

/// The newest entry of a statement, kept beside the blocks so that it is one key away.
pub(crate) mod latest {
    use ledger::{Shard, StreamVersion};

    use super::{Decoder, Encoder, FORMAT, Malformed, version};
    use crate::value::{PackedEntry, StatementEntry};

    pub(crate) fn encode(version: StreamVersion, entry: &PackedEntry) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value.natural(version.get()).bytes(entry.as_bytes());
        value.finish()
    }

    pub(crate) fn decode(shard: Shard, bytes: &[u8]) -> Result<StatementEntry, Malformed> {
        let mut value = Decoder::new("latest entry", bytes, FORMAT)?;
        let version = version(&mut value)?;
        StatementEntry::decode(shard, version, value.rest())
    }
}

#[cfg(test)]
mod tests {
    use ledger::Shard;

    use super::*;
    use crate::test_values::{hex, refuses_every_cut_and_addition, sample_entry, sample_header};

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let header = sample_header();
        assert_eq!(hex(&header.encode()), "010000000000000102000000000000004005ac02455552");
        assert_eq!(StatementHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn only_whole_values_are_read() {
        refuses_every_cut_and_addition(&sample_header().encode(), |bytes| {
            StatementHeader::decode(bytes).is_ok()
        });
        let entry = sample_entry();
        let bytes = latest::encode(entry.version, &entry.pack(Shard::ZERO));
        refuses_every_cut_and_addition(&bytes, |bytes| latest::decode(Shard::ZERO, bytes).is_ok());
    }

    #[test]
    fn the_latest_entry_knows_its_version() {
        let entry = sample_entry();
        let bytes = latest::encode(entry.version, &entry.pack(Shard::ZERO));
        let read = latest::decode(Shard::ZERO, &bytes);
        assert_eq!(read, Ok(entry));
    }
}

//! A line of a statement, and the blocks lines are kept in.

use ledger::{Amount, Position, Shard, StreamVersion, Text, Timestamp, TransactionId};

use super::account::{position, timestamp};
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// Entries per block: one hash holds the entries with the versions `64 n` to `64 n + 63`, so that no key grows
/// without end and a page of a statement is one or two keys.
pub(crate) const BLOCK_ENTRIES: i64 = 64;

/// Stands for a version that moved no money. With it blocks have no hole, so that a hole is a loss and can be seen.
pub(crate) const PLACEHOLDER: &[u8] = &[0];

const OTHER_TRANSACTION: u8 = 1;
const REFERENCE: u8 = 2;
const COUNTERPARTY: u8 = 4;
const EFFECTIVE_AT: u8 = 8;

/// The block that holds a version.
pub(crate) fn block_of(version: StreamVersion) -> i64 {
    version.get() / BLOCK_ENTRIES
}

/// The oldest version that is kept of a statement with `version` entries, when the last `entries_max` are to be
/// kept (0: all). Whole blocks are dropped, so some more are kept than asked for.
#[must_use]
pub fn oldest_kept(version: StreamVersion, entries_max: u32) -> StreamVersion {
    let wanted = match entries_max {
        0 => 1,
        entries_max => version.get().saturating_sub(entries_max.into()).saturating_add(1).max(1),
    };
    let first_of_block = wanted / BLOCK_ENTRIES * BLOCK_ENTRIES;
    StreamVersion::new(first_of_block).unwrap_or(StreamVersion::FIRST).max(StreamVersion::FIRST)
}

/// The blocks that are no longer kept when a statement has grown from `before` to `after` entries.
#[must_use]
pub fn dropped_blocks(
    before: StreamVersion,
    after: StreamVersion,
    entries_max: u32,
) -> std::ops::Range<i64> {
    let first = |version| block_of(oldest_kept(version, entries_max));
    first(before)..first(after)
}

/// What kind of money movement an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Money came in from outside.
    Deposit,
    /// Money left.
    Withdrawal,
    /// Money left to pay a bill; the counterparty is the payee.
    BillPayment,
    /// Money went to another account; the counterparty is its id.
    TransferSent,
    /// Money came from another account; the counterparty is its id.
    TransferReceived,
}

impl EntryKind {
    /// Whether the balance rose.
    #[must_use]
    pub fn is_credit(self) -> bool {
        match self {
            Self::Deposit | Self::TransferReceived => true,
            Self::Withdrawal | Self::BillPayment | Self::TransferSent => false,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Deposit => 1,
            Self::Withdrawal => 2,
            Self::BillPayment => 3,
            Self::TransferSent => 4,
            Self::TransferReceived => 5,
        }
    }

    fn by_code(code: u8) -> Option<Self> {
        use EntryKind::{BillPayment, Deposit, TransferReceived, TransferSent, Withdrawal};
        [Deposit, Withdrawal, BillPayment, TransferSent, TransferReceived]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// One money movement as one account's statement shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementEntry {
    /// The account's version right after it; its number on the statement.
    pub version: StreamVersion,
    /// Place of this account's row.
    pub position: Position,
    /// The transaction it is a side of.
    pub transaction_id: TransactionId,
    /// What kind of movement it was.
    pub kind: EntryKind,
    /// How much moved, in the account's currency.
    pub amount: Amount,
    /// The account's balance right after it, in minor units.
    pub balance_after: i64,
    /// What it was for.
    pub reference: Option<Text>,
    /// The other side.
    pub counterparty: Option<Text>,
    /// When it takes effect for its parties.
    pub effective_at: Option<Timestamp>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A [`StatementEntry`] as a block holds it: small, because very many are held in memory while a statement is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedEntry(Box<[u8]>);

impl PackedEntry {
    /// The value to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl StatementEntry {
    /// The entry as a block of an account of `shard` holds it.
    #[must_use]
    pub fn pack(&self, shard: Shard) -> PackedEntry {
        PackedEntry(self.encode(shard).into_boxed_slice())
    }

    /// The value to store in a block of an account of `shard`. The version is not in it: it is the field's name.
    #[must_use]
    pub fn encode(&self, shard: Shard) -> Vec<u8> {
        let own = TransactionId { shard, position: self.position };
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let mut value = Encoder::new(FORMAT);
        value
            .byte(self.kind.code())
            .byte(
                flag(self.transaction_id != own, OTHER_TRANSACTION)
                    | flag(self.reference.is_some(), REFERENCE)
                    | flag(self.counterparty.is_some(), COUNTERPARTY)
                    | flag(self.effective_at.is_some(), EFFECTIVE_AT),
            )
            .natural(self.position.get())
            .natural(self.amount.minor_units())
            .signed(self.balance_after.into())
            .signed(self.recorded_at.micros().into());
        if self.transaction_id != own {
            value.natural(self.transaction_id.shard.get().into());
            value.natural(self.transaction_id.position.get());
        }
        for text in [&self.reference, &self.counterparty].into_iter().flatten() {
            value.text(text.as_str());
        }
        if let Some(effective_at) = self.effective_at {
            value.signed(effective_at.micros().into());
        }
        value.finish()
    }

    /// Reads a stored value of an account of `shard`.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`StatementEntry::encode`] does not write.
    pub fn decode(shard: Shard, version: StreamVersion, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("statement entry", bytes, FORMAT)?;
        let kind = value.byte()?;
        let kind = EntryKind::by_code(kind).ok_or_else(|| value.malformed("kind"))?;
        let flags = value.byte()?;
        if flags & !(OTHER_TRANSACTION | REFERENCE | COUNTERPARTY | EFFECTIVE_AT) != 0 {
            return Err(value.malformed("flags"));
        }
        let position = position(&mut value)?;
        let amount = value.natural()?;
        let amount = Amount::new(amount).ok_or_else(|| value.malformed("amount"))?;
        let balance_after = value.int64()?;
        let recorded_at = timestamp(&mut value)?;
        let own = TransactionId { shard, position };
        let transaction_id =
            if flags & OTHER_TRANSACTION == 0 { own } else { other(&mut value, own)? };
        let reference = text(&mut value, flags & REFERENCE != 0)?;
        let counterparty = text(&mut value, flags & COUNTERPARTY != 0)?;
        let effective_at = match flags & EFFECTIVE_AT {
            0 => None,
            _ => Some(timestamp(&mut value)?),
        };
        value.finish()?;
        Ok(Self {
            version,
            position,
            transaction_id,
            kind,
            amount,
            balance_after,
            reference,
            counterparty,
            effective_at,
            recorded_at,
        })
    }
}

fn other(value: &mut Decoder<'_>, own: TransactionId) -> Result<TransactionId, Malformed> {
    let shard = value.natural()?;
    let shard = Shard::new(shard).ok_or_else(|| value.malformed("shard"))?;
    let id = TransactionId { shard, position: position(value)? };
    if id == own { Err(value.malformed("own transaction spelled out")) } else { Ok(id) }
}

fn text(value: &mut Decoder<'_>, present: bool) -> Result<Option<Text>, Malformed> {
    if !present {
        return Ok(None);
    }
    let text = value.text()?;
    Text::new(text).map(Some).map_err(|_| value.malformed("text"))
}

/// What a block holds at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredEntry {
    /// Money moved.
    Movement(StatementEntry),
    /// Something else happened.
    Placeholder,
}

impl StoredEntry {
    pub(crate) fn decode(
        shard: Shard,
        version: StreamVersion,
        bytes: &[u8],
    ) -> Result<Self, Malformed> {
        if bytes == PLACEHOLDER {
            return Ok(Self::Placeholder);
        }
        StatementEntry::decode(shard, version, bytes).map(Self::Movement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, refuses_every_cut_and_addition, sample_entry};

    const VERSION: StreamVersion = StreamVersion::FIRST;

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let entry = sample_entry();
        assert_eq!(
            hex(&entry.encode(Shard::ZERO)),
            "01050f2aac02018080f2818389850603290472656e7403626f62fefff18183898506"
        );
        let read = StatementEntry::decode(Shard::ZERO, entry.version, &entry.encode(Shard::ZERO));
        assert_eq!(read, Ok(entry));
    }

    #[test]
    fn an_entry_without_extras_is_short() {
        let plain = plain_entry();
        assert_eq!(hex(&plain.encode(Shard::ZERO)), "0105002aac02018080f28183898506");
        let read = StatementEntry::decode(Shard::ZERO, VERSION, &plain.encode(Shard::ZERO));
        assert_eq!(read, Ok(plain));
    }

    #[test]
    fn only_whole_values_are_read() {
        for entry in [sample_entry(), plain_entry()] {
            refuses_every_cut_and_addition(&entry.encode(Shard::ZERO), |bytes| {
                StoredEntry::decode(Shard::ZERO, VERSION, bytes).is_ok()
            });
        }
    }

    #[test]
    fn a_placeholder_is_no_entry() {
        let read = StoredEntry::decode(Shard::ZERO, VERSION, PLACEHOLDER);
        assert_eq!(read, Ok(StoredEntry::Placeholder));
        assert!(StatementEntry::decode(Shard::ZERO, VERSION, PLACEHOLDER).is_err());
    }

    #[test]
    fn whole_blocks_are_dropped_and_never_one_too_many() {
        let version = |number| StreamVersion::new(number).unwrap();
        assert_eq!(oldest_kept(version(1_000_000), 0), VERSION);
        assert_eq!(oldest_kept(version(100), 100), VERSION);
        assert_eq!(oldest_kept(version(163), 100), version(64));
        assert_eq!(oldest_kept(version(162), 100), VERSION);
        assert_eq!(dropped_blocks(version(162), version(163), 100), 0..1);
        assert_eq!(dropped_blocks(version(163), version(170), 100), 1..1);
        assert_eq!(dropped_blocks(version(1), version(1000), 100), 0..14);
        for number in 1..500 {
            let kept = number - oldest_kept(version(number), 100).get() + 1;
            assert!(kept >= number.min(100), "{number}");
        }
    }

    fn plain_entry() -> StatementEntry {
        let entry = sample_entry();
        StatementEntry {
            version: VERSION,
            transaction_id: TransactionId { shard: Shard::ZERO, position: entry.position },
            reference: None,
            counterparty: None,
            effective_at: None,
            ..entry
        }
    }
}

//! The checkpoint: which prefix of which log a generation of a view includes.

use ledger::{LogId, Position, Timestamp};
use uuid::Uuid;

use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// Where `position` begins in the packed value, counted from 1 as Lua does. The swap script reads it there.
pub(crate) const POSITION_OFFSET: usize = 18;

/// How many bytes at the beginning of the packed value name the log, the format byte included.
pub(crate) const LOG_BYTES: usize = 17;

/// What a generation includes. It lies beside the data and is written last in every script, so it never claims
/// more than is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub log_id: LogId,
    /// The last position included.
    pub position: Position,
    /// The log's chain hash at that position: the same position of another history has another hash.
    pub hash: [u8; 32],
    /// When the batch that ends at that position was recorded. `None` at position 0.
    pub recorded_at: Option<Timestamp>,
    /// How many entries per account the transactions view keeps; 0 keeps all. Said once, when the generation is
    /// begun, because a generation that had begun under another number would have other holes.
    pub entries_max: u32,
}

impl Checkpoint {
    /// The value to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .bytes(self.log_id.0.as_bytes())
            .bytes(&self.position.get().to_be_bytes())
            .bytes(&self.hash)
            .unsigned(self.entries_max.into());
        optional_time(&mut value, self.recorded_at);
        value.finish()
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Checkpoint::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("checkpoint", bytes, FORMAT)?;
        let log_id = LogId(Uuid::from_bytes(value.array()?));
        let position = i64::from_be_bytes(value.array()?);
        let position = Position::new(position).ok_or_else(|| value.malformed("position"))?;
        let hash = value.array()?;
        let entries_max = value.natural()?;
        let recorded_at = read_optional_time(&mut value)?;
        value.finish()?;
        Ok(Self { log_id, position, hash, recorded_at, entries_max })
    }
}

pub(super) fn optional_time(value: &mut Encoder, time: Option<Timestamp>) {
    match time {
        None => value.byte(0),
        Some(time) => value.byte(1).signed(time.micros().into()),
    };
}

pub(super) fn read_optional_time(value: &mut Decoder<'_>) -> Result<Option<Timestamp>, Malformed> {
    match value.byte()? {
        0 => Ok(None),
        1 => super::account::timestamp(value).map(Some),
        _ => Err(value.malformed("time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, refuses_every_cut_and_addition, sample_checkpoint};

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let checkpoint = sample_checkpoint(42);
        let golden = "010190163d8694739b88c3d2f37f4c8f7e000000000000002aabababababababab\
                      ababababababababababababababababababababababababe807018480f28183898506";
        assert_eq!(hex(&checkpoint.encode()), golden);
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn only_whole_values_are_read() {
        for position in [0, 42] {
            let bytes = sample_checkpoint(position).encode();
            refuses_every_cut_and_addition(&bytes, |bytes| Checkpoint::decode(bytes).is_ok());
        }
    }

    #[test]
    fn the_position_stands_where_the_swap_script_reads_it() {
        let bytes = sample_checkpoint(42).encode();
        let at = POSITION_OFFSET - 1;
        assert_eq!(bytes[at..at + 8], 42_i64.to_be_bytes());
    }
}

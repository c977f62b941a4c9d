//! Two marks that stand beside the views: which log the read model is of, and how far that log goes.

use ledger::{LogId, Position, ShardCount, Timestamp};
use uuid::Uuid;

use super::account::position;
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// Which log the read model is of. Renewed all the time by the projectors of that log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRecord {
    /// The log.
    pub log_id: LogId,
    /// The name it was created with, which all its incarnations share.
    pub first_log_id: LogId,
    /// How often it was declared to be another one, plus 1.
    pub incarnation: i32,
    /// Into how many shards it is cut.
    pub shards: ShardCount,
    /// When a projector of that log last said so, by Redis's clock in milliseconds.
    pub renewed_at_ms: i64,
}

impl LogRecord {
    /// All fields have a fixed width, because the script that claims Redis for a log reads and writes them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .bytes(self.log_id.0.as_bytes())
            .bytes(self.first_log_id.0.as_bytes())
            .bytes(&self.incarnation.to_be_bytes())
            .bytes(&self.shards.get().to_be_bytes())
            .bytes(&self.renewed_at_ms.to_be_bytes());
        value.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("log record", bytes, FORMAT)?;
        let log_id = LogId(Uuid::from_bytes(value.array()?));
        let first_log_id = LogId(Uuid::from_bytes(value.array()?));
        let incarnation = i32::from_be_bytes(value.array()?);
        let shards = i16::from_be_bytes(value.array()?);
        let shards = ShardCount::new(shards).ok_or_else(|| value.malformed("shards"))?;
        let renewed_at_ms = i64::from_be_bytes(value.array()?);
        value.finish()?;
        Ok(Self { log_id, first_log_id, incarnation, shards, renewed_at_ms })
    }
}

/// The end of one shard of the log, as a projector saw it at a known time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadStamp {
    /// The log.
    pub log_id: LogId,
    /// The last position there was.
    pub position: Position,
    /// When the batch that ends there was recorded. `None` for an empty shard.
    pub recorded_at: Option<Timestamp>,
    /// Redis's clock in milliseconds, read before the log was asked: a view that includes `position` had all of
    /// the log then. Or [`HeadStamp::NOTHING_KNOWN_COMPLETE`].
    pub seen_at_ms: i64,
}

impl HeadStamp {
    /// In place of a time: what was projected may not be of this log.
    pub const NOTHING_KNOWN_COMPLETE: i64 = 0;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value.bytes(self.log_id.0.as_bytes()).natural(self.position.get()).natural(self.seen_at_ms);
        super::checkpoint::optional_time(&mut value, self.recorded_at);
        value.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("head stamp", bytes, FORMAT)?;
        let log_id = LogId(Uuid::from_bytes(value.array()?));
        let position = position(&mut value)?;
        let seen_at_ms = value.natural()?;
        let recorded_at = super::checkpoint::read_optional_time(&mut value)?;
        value.finish()?;
        Ok(Self { log_id, position, recorded_at, seen_at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{LOG_ID, hex, refuses_every_cut_and_addition, time};

    fn log_record() -> LogRecord {
        LogRecord {
            log_id: LOG_ID,
            first_log_id: LOG_ID,
            incarnation: 1,
            shards: ShardCount::ONE,
            renewed_at_ms: 1_700_000_000_000,
        }
    }

    fn head_stamp() -> HeadStamp {
        let position = Position::new(300).unwrap();
        HeadStamp {
            log_id: LOG_ID,
            position,
            recorded_at: Some(time(2)),
            seen_at_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn the_formats_are_held_by_golden_bytes() {
        assert_eq!(
            hex(&log_record().encode()),
            "010190163d8694739b88c3d2f37f4c8f7e0190163d8694739b88c3d2f37f4c8f7e0000000100010000018bcfe56800"
        );
        assert_eq!(
            hex(&head_stamp().encode()),
            "010190163d8694739b88c3d2f37f4c8f7eac0280d095ffbc31018480f28183898506"
        );
        assert_eq!(LogRecord::decode(&log_record().encode()), Ok(log_record()));
        assert_eq!(HeadStamp::decode(&head_stamp().encode()), Ok(head_stamp()));
    }

    #[test]
    fn only_whole_values_are_read() {
        refuses_every_cut_and_addition(&log_record().encode(), |b| LogRecord::decode(b).is_ok());
        refuses_every_cut_and_addition(&head_stamp().encode(), |b| HeadStamp::decode(b).is_ok());
    }
}

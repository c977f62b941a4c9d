//! What protects the log: a digest chain that writers compute over content, and a hash chain that the database seals it
//! with, positions and times included.
//!
//! Two chains, because several appends are under way on one connection at once: a writer must name the head that its
//! next batch stands on before the database has said when the batch before was recorded. It knows that batch's digest,
//! but not yet its hash. See `docs/adr/0003`.

use ledger::{LogId, Position, Shard, ShardCount, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    row::{BorrowedRow, EventRow},
    sql_types::timestamptz_send,
};

/// How rows are encoded under the digest. A new encoding gets a new number; old batches keep theirs for ever.
pub const FORMAT: i16 = 1;

/// The end of a batch: how far the log has come, and what identifies everything up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// The batch's last position; 0 before the first batch.
    pub position: Position,
    /// Chained over the content of all batches; known to their writer before they are stored.
    pub digest: [u8; 32],
    /// Chained over the digests, positions and times of all batches; computed by the database.
    pub hash: [u8; 32],
}

/// The newest batch of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Where it ends.
    pub link: ChainLink,
    /// When it was recorded; `None` while the shard is empty.
    pub recorded_at: Option<Timestamp>,
    /// Accounts ever opened in the shard.
    pub accounts: i32,
}

/// Which log this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// The name of the log, which tokens carry.
    pub log_id: LogId,
    /// How often the log was declared to be another one, plus 1.
    pub incarnation: i32,
    /// Into how many shards it is cut.
    pub shards: ShardCount,
    /// The name it was created with, the root of its chains.
    pub first_log_id: LogId,
}

impl LogIdentity {
    /// What stands before the first batch of a shard.
    #[must_use]
    pub fn genesis(&self, shard: Shard) -> ChainLink {
        let mut root = Sha256::new();
        root.update(b"counterfoil.log.v1");
        root.update(self.first_log_id.0.as_bytes());
        root.update(shard.get().to_be_bytes());
        let root = root.finalize().into();
        ChainLink { position: Position::ZERO, digest: root, hash: root }
    }

    /// The head of an empty shard.
    #[must_use]
    pub fn empty_head(&self, shard: Shard) -> Head {
        Head { link: self.genesis(shard), recorded_at: None, accounts: 0 }
    }
}

/// What the digest of a batch covers beside its rows.
#[derive(Debug, Clone, Copy)]
pub struct DigestInput<'a> {
    /// The digest of the batch before.
    pub previous: &'a [u8; 32],
    /// The random name of this attempt to append.
    pub attempt: Uuid,
    /// The shard.
    pub shard: Shard,
    /// Place of the first row.
    pub first: Position,
    /// Accounts ever opened in the shard, this batch included.
    pub accounts: i32,
}

/// The digest of a batch: SHA-256 over an encoding in which no two different batches look the same, because every field
/// has a tag and every text its length, and what is absent is left out.
#[must_use]
pub fn digest(input: &DigestInput<'_>, rows: &[EventRow]) -> [u8; 32] {
    digest_of(input, rows.iter().map(EventRow::borrowed))
}

/// The same of rows that are being read.
pub(crate) fn digest_of<'a>(
    input: &DigestInput<'_>,
    rows: impl ExactSizeIterator<Item = BorrowedRow<'a>>,
) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(128 + rows.len() * 192);
    bytes.extend_from_slice(b"counterfoil.batch.v1\0");
    bytes.extend_from_slice(input.previous);
    bytes.extend_from_slice(input.attempt.as_bytes());
    bytes.extend_from_slice(&input.shard.get().to_be_bytes());
    bytes.extend_from_slice(&input.first.get().to_be_bytes());
    bytes.extend_from_slice(&(rows.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&input.accounts.to_be_bytes());
    for row in rows {
        encode_row(&row, &mut bytes);
    }
    Sha256::digest(&bytes).into()
}

/// The hash that the database's append function computes, to check it.
#[must_use]
pub fn hash(
    previous: &[u8; 32],
    digest: &[u8; 32],
    first: Position,
    last: Position,
    recorded_at: Timestamp,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(digest);
    hash.update(first.get().to_be_bytes());
    hash.update(last.get().to_be_bytes());
    hash.update(timestamptz_send(recorded_at));
    hash.finalize().into()
}

/// Format 1. Tags are for ever; a new column gets the next one.
fn encode_row(row: &BorrowedRow<'_>, out: &mut Vec<u8>) {
    integer(out, 1, Some(i64::from(row.account)));
    integer(out, 2, Some(i64::from(row.event_type)));
    integer(out, 3, Some(row.version));
    integer(out, 4, Some(row.balance));
    integer(out, 5, Some(i64::from(row.status)));
    integer(out, 6, row.amount);
    bytes(out, 7, row.request_id.as_ref().map(|id| id.as_bytes().as_slice()));
    integer(out, 8, row.held);
    integer(out, 9, row.overdraft_limit);
    integer(out, 10, row.peer_shard.map(i64::from));
    integer(out, 11, row.peer_position);
    integer(out, 12, row.effective_at.map(Timestamp::micros));
    integer(out, 13, row.schema_version.map(i64::from));
    bytes(out, 14, row.account_id.map(str::as_bytes));
    bytes(out, 15, row.owner_id.map(str::as_bytes));
    bytes(out, 16, row.currency.map(str::as_bytes));
    bytes(out, 17, row.reference.map(str::as_bytes));
    bytes(out, 18, row.counterparty.map(str::as_bytes));
    bytes(out, 19, row.actor.map(str::as_bytes));
    bytes(out, 20, row.trace_context);
    bytes(out, 21, row.details);
    out.push(0); // end of the row
}

fn integer(out: &mut Vec<u8>, tag: u8, value: Option<i64>) {
    if let Some(value) = value {
        out.push(tag);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, tag: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(tag);
        out.extend_from_slice(&(value.len() as u64).to_be_bytes());
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> LogIdentity {
        let log_id = LogId(Uuid::from_u128(0x0190_163d_8694_739b_88c3_d2f3_7f4c_8f7e));
        LogIdentity { log_id, incarnation: 1, shards: ShardCount::ONE, first_log_id: log_id }
    }

    fn row() -> EventRow {
        EventRow {
            account: 7,
            event_type: 2,
            version: 3,
            balance: 1500,
            status: 1,
            amount: Some(500),
            request_id: Some(Uuid::from_u128(1)),
            reference: Some("rent".into()),
            ..EventRow::default()
        }
    }

    fn digest_of(rows: &[EventRow], attempt: u128) -> String {
        let input = DigestInput {
            previous: &identity().genesis(Shard::ZERO).digest,
            attempt: Uuid::from_u128(attempt),
            shard: Shard::ZERO,
            first: Position::ZERO.plus(1),
            accounts: 7,
        };
        hex::encode(digest(&input, rows))
    }

    #[test]
    fn digests_of_stored_batches_never_change() {
        assert_eq!(
            digest_of(&[row()], 42),
            "3dd14d61cf5ff376dd12e6c21d875f6173cbee8b355cf1a018e7d557794cb6c9"
        );
    }

    #[test]
    fn every_field_and_every_border_between_fields_is_under_the_digest() {
        let plain = digest_of(&[row()], 42);
        let moved =
            EventRow { reference: Some("ren".into()), counterparty: Some("t".into()), ..row() };
        let variants = [
            EventRow { balance: 1501, ..row() },
            EventRow { held: Some(1), ..row() },
            EventRow { overdraft_limit: Some(1), ..row() },
            EventRow { actor: Some("rent".into()), reference: None, ..row() },
            EventRow { details: Some(Vec::new()), ..row() },
            moved,
        ];
        for variant in variants {
            assert_ne!(digest_of(&[variant], 42), plain);
        }
        assert_ne!(digest_of(&[row()], 43), plain, "two attempts are never the same");
        assert_ne!(digest_of(&[row(), row()], 42), plain);
    }
}

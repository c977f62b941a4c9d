//! Values that the tests of the packed formats share.

use std::{fmt::Write as _, sync::Arc};

use ledger::{
    AccountId, AccountNumber, AccountState, Amount, Currency, LogId, Opening, OwnerId, Position,
    Shard, Status, StreamVersion, Text, Timestamp, TransactionId,
};
use uuid::Uuid;

use crate::{AccountView, Checkpoint, EntryKind, StatementEntry, StatementHeader};

pub(crate) const LOG_ID: LogId = LogId(Uuid::from_u128(0x0190163d_8694_739b_88c3_d2f37f4c8f7e));

pub(crate) fn account_id(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub(crate) fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

/// So many microseconds after 2023-11-14T22:13:20Z.
pub(crate) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros).unwrap()
}

pub(crate) fn sample_account() -> AccountView {
    AccountView {
        number: AccountNumber::new(5).unwrap(),
        opening: Arc::new(Opening {
            account_id: account_id("alice"),
            owner_id: Some(OwnerId::new("owner").unwrap()),
            currency: currency("EUR"),
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
        }),
        state: AccountState {
            version: StreamVersion::new(7).unwrap(),
            balance: -150,
            held: 100,
            overdraft_limit: 10_000,
            status: Status::Frozen,
        },
        position: Position::new(42).unwrap(),
        opened_at: time(0),
        updated_at: time(1),
    }
}

pub(crate) fn sample_checkpoint(position: i64) -> Checkpoint {
    Checkpoint {
        log_id: LOG_ID,
        position: Position::new(position).unwrap(),
        hash: [0xab; 32],
        recorded_at: (position > 0).then(|| time(2)),
        entries_max: 1000,
    }
}

pub(crate) fn sample_header() -> StatementHeader {
    StatementHeader {
        number: AccountNumber::new(5).unwrap(),
        currency: currency("EUR"),
        version: StreamVersion::new(258).unwrap(),
        oldest: StreamVersion::new(64).unwrap(),
        position: Position::new(300).unwrap(),
    }
}

pub(crate) fn sample_entry() -> StatementEntry {
    StatementEntry {
        version: StreamVersion::new(7).unwrap(),
        position: Position::new(42).unwrap(),
        transaction_id: TransactionId {
            shard: Shard::new(3).unwrap(),
            position: Position::new(41).unwrap(),
        },
        kind: EntryKind::TransferReceived,
        amount: Amount::new(300).unwrap(),
        balance_after: -1,
        reference: Some(Text::new("rent").unwrap()),
        counterparty: Some(Text::new("bob").unwrap()),
        effective_at: Some(time(-1)),
        recorded_at: time(0),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// A strict decoder reads the whole value and nothing shorter, longer, or of another format.
pub(crate) fn refuses_every_cut_and_addition(bytes: &[u8], reads: impl Fn(&[u8]) -> bool) {
    assert!(reads(bytes), "reads the whole value");
    for length in 0..bytes.len() {
        assert!(!reads(&bytes[..length]), "refuses the first {length} bytes");
    }
    assert!(!reads(&[bytes, &[0]].concat()), "refuses a trailing byte");
    for format in (0..=u8::MAX).filter(|format| *format != bytes[0]) {
        assert!(!reads(&[&[format], &bytes[1..]].concat()), "refuses format {format}");
    }
}

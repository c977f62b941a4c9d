//! The bytes in `events.details`: labels of openings, what was asked and why not of rejections, and on the row by which an
//! atomic batch is found where all of its rows are.
//!
//! Stored for ever, so the encoding is spelled out here and held by golden bytes: a format byte, then fields in a fixed
//! order; integers big-endian, texts with their length before them.

use std::collections::BTreeMap;

use ledger::{AccountId, Currency, Position, Rejection, Shard, StreamVersion};

use crate::decode::stored_position;

/// The bytes cannot be read: of a later version of this program, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("details cannot be decoded")]
pub struct DetailsUnknown;

/// First byte of labels and rejections.
const FORMAT: u8 = 1;

/// First byte of an atomic batch's extents; the row's own details, if it has any, stand behind them.
const BATCH_FORMAT: u8 = 2;

/// Where the rows of an atomic batch are in one shard: so many from a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchExtent {
    /// The shard.
    pub shard: Shard,
    /// The first row.
    pub first: Position,
    /// How many.
    pub rows: u32,
}

impl BatchExtent {
    /// Most rows of an atomic batch in one shard: it has a thousand commands at most, and a command two events.
    pub const ROWS_MAX: u32 = 2_000;
}

/// Puts the extents of a batch before the row's own details.
pub(crate) fn encode_batch(extents: &[BatchExtent], details: Option<Vec<u8>>) -> Vec<u8> {
    let count = u16::try_from(extents.len()).expect("one for each shard, of which there are fewer");
    let mut out = vec![BATCH_FORMAT];
    out.extend_from_slice(&count.to_be_bytes());
    for BatchExtent { shard, first, rows } in extents {
        out.extend_from_slice(&shard.get().to_be_bytes());
        put_i64(&mut out, first.get());
        out.extend_from_slice(&rows.to_be_bytes());
    }
    out.extend(details.unwrap_or_default());
    out
}

/// The extents of a batch, and the row's own details.
type Split<'a> = (Option<Vec<BatchExtent>>, Option<&'a [u8]>);

/// The extents of a batch, if one is found by the row, and the row's own details.
pub(crate) fn split_batch(bytes: Option<&[u8]>) -> Result<Split<'_>, DetailsUnknown> {
    let Some((&BATCH_FORMAT, rest)) = bytes.and_then(<[u8]>::split_first) else {
        return Ok((None, bytes));
    };
    let mut input = Input(rest);
    let extents = (0..u16::from_be_bytes(input.array()?)).map(|_| {
        Ok(BatchExtent {
            shard: Shard::new(i16::from_be_bytes(input.array()?)).ok_or(DetailsUnknown)?,
            first: stored_position(input.i64()?).ok_or(DetailsUnknown)?,
            rows: u32::from_be_bytes(input.array()?),
        })
    });
    let extents = extents.collect::<Result<_, _>>()?;
    Ok((Some(extents), Some(input.0).filter(|details| !details.is_empty())))
}

/// What a rejection row keeps in `details`; the rest of the command stands in the row's own columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RejectionDetails {
    /// Which kind of command it was, by the event type that it would have become.
    pub(crate) event_type: i16,
    /// The version that was expected.
    pub(crate) expected_version: Option<StreamVersion>,
    /// The limit that was asked for, of a command that sets one.
    pub(crate) overdraft_limit: i64,
    /// Why not.
    pub(crate) rejection: Rejection,
}

pub(crate) fn encode_labels(labels: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    if labels.is_empty() {
        return None;
    }
    let mut out = vec![FORMAT];
    for (key, value) in labels {
        put_text(&mut out, key);
        put_text(&mut out, value);
    }
    Some(out)
}

pub(crate) fn decode_labels(
    bytes: Option<&[u8]>,
) -> Result<BTreeMap<String, String>, DetailsUnknown> {
    let (_, Some(bytes)) = split_batch(bytes)? else {
        return Ok(BTreeMap::new());
    };
    let mut input = Input::new(bytes)?;
    let mut labels = BTreeMap::new();
    while !input.0.is_empty() {
        labels.insert(input.text()?, input.text()?);
    }
    Ok(labels)
}

pub(crate) fn encode_rejection(details: &RejectionDetails) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.extend_from_slice(&details.event_type.to_be_bytes());
    put_i64(&mut out, details.expected_version.map_or(-1, StreamVersion::get));
    put_i64(&mut out, details.overdraft_limit);
    put_reason(&mut out, &details.rejection);
    out
}

/// No batch is split off: a refused one keeps nothing.
pub(crate) fn decode_rejection(bytes: Option<&[u8]>) -> Result<RejectionDetails, DetailsUnknown> {
    let mut input = Input::new(bytes.ok_or(DetailsUnknown)?)?;
    let details = RejectionDetails {
        event_type: i16::from_be_bytes(input.array()?),
        expected_version: StreamVersion::new(input.i64()?),
        overdraft_limit: input.i64()?,
        rejection: input.reason()?,
    };
    if input.0.is_empty() { Ok(details) } else { Err(DetailsUnknown) }
}

/// Reason numbers are for ever; a new reason gets the next one.
fn put_reason(out: &mut Vec<u8>, rejection: &Rejection) {
    match rejection {
        Rejection::AccountNotFound { account_id } => put_account(out, 1, account_id),
        Rejection::AccountAlreadyExists { account_id } => put_account(out, 2, account_id),
        Rejection::VersionConflict { expected, current } => {
            out.push(3);
            put_i64(out, expected.get());
            put_i64(out, current.get());
        }
        Rejection::AccountClosed { account_id } => put_account(out, 4, account_id),
        Rejection::AccountFrozen { account_id } => put_account(out, 5, account_id),
        Rejection::AccountNotFrozen { account_id } => put_account(out, 6, account_id),
        Rejection::CurrencyMismatch { account_id, held, requested } => {
            put_account(out, 7, account_id);
            put_text(out, held.as_str());
            put_text(out, requested.as_str());
        }
        Rejection::InsufficientFunds { available, overdraft_limit, requested } => {
            out.push(8);
            out.extend_from_slice(&available.to_be_bytes());
            put_i64(out, *overdraft_limit);
            put_i64(out, *requested);
        }
        Rejection::BalanceOverflow { balance, requested } => {
            out.push(9);
            put_i64(out, *balance);
            put_i64(out, *requested);
        }
        Rejection::BalanceNotZero { balance } => {
            out.push(10);
            put_i64(out, *balance);
        }
        Rejection::HoldsOpen { held } => {
            out.push(11);
            put_i64(out, *held);
        }
        Rejection::LimitAboveBalance { available, requested } => {
            out.push(12);
            out.extend_from_slice(&available.to_be_bytes());
            put_i64(out, *requested);
        }
    }
}

fn put_account(out: &mut Vec<u8>, reason: u8, account_id: &AccountId) {
    out.push(reason);
    put_text(out, account_id.as_str());
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, DetailsUnknown> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => Ok(Self(rest)),
            _ => Err(DetailsUnknown),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DetailsUnknown> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DetailsUnknown)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DetailsUnknown> {
        self.take(N)?.try_into().map_err(|_| DetailsUnknown)
    }

    fn i64(&mut self) -> Result<i64, DetailsUnknown> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn i128(&mut self) -> Result<i128, DetailsUnknown> {
        Ok(i128::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, DetailsUnknown> {
        let length =
            usize::try_from(u64::from_be_bytes(self.array()?)).map_err(|_| DetailsUnknown)?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| DetailsUnknown)
    }

    fn account(&mut self) -> Result<AccountId, DetailsUnknown> {
        AccountId::new(&self.text()?).map_err(|_| DetailsUnknown)
    }

    fn currency(&mut self) -> Result<Currency, DetailsUnknown> {
        Currency::new(&self.text()?).map_err(|_| DetailsUnknown)
    }

    fn version(&mut self) -> Result<StreamVersion, DetailsUnknown> {
        StreamVersion::new(self.i64()?).ok_or(DetailsUnknown)
    }

    fn reason(&mut self) -> Result<Rejection, DetailsUnknown> {
        let [reason] = self.array()?;
        Ok(match reason {
            1 => Rejection::AccountNotFound { account_id: self.account()? },
            2 => Rejection::AccountAlreadyExists { account_id: self.account()? },
            3 => Rejection::VersionConflict { expected: self.version()?, current: self.version()? },
            4 => Rejection::AccountClosed { account_id: self.account()? },
            5 => Rejection::AccountFrozen { account_id: self.account()? },
            6 => Rejection::AccountNotFrozen { account_id: self.account()? },
            7 => Rejection::CurrencyMismatch {
                account_id: self.account()?,
                held: self.currency()?,
                requested: self.currency()?,
            },
            8 => Rejection::InsufficientFunds {
                available: self.i128()?,
                overdraft_limit: self.i64()?,
                requested: self.i64()?,
            },
            9 => Rejection::BalanceOverflow { balance: self.i64()?, requested: self.i64()? },
            10 => Rejection::BalanceNotZero { balance: self.i64()? },
            11 => Rejection::HoldsOpen { held: self.i64()? },
            12 => Rejection::LimitAboveBalance { available: self.i128()?, requested: self.i64()? },
            _ => return Err(DetailsUnknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejections() -> Vec<Rejection> {
        let account_id = AccountId::new("alice").unwrap();
        let [held, requested] = ["EUR", "JPY"].map(|code| Currency::new(code).unwrap());
        let [expected, current] = [9, 3].map(|version| StreamVersion::new(version).unwrap());
        vec![
            Rejection::AccountNotFound { account_id: account_id.clone() },
            Rejection::AccountAlreadyExists { account_id: account_id.clone() },
            Rejection::VersionConflict { expected, current },
            Rejection::AccountClosed { account_id: account_id.clone() },
            Rejection::AccountFrozen { account_id: account_id.clone() },
            Rejection::AccountNotFrozen { account_id: account_id.clone() },
            Rejection::CurrencyMismatch { account_id, held, requested },
            Rejection::InsufficientFunds { available: -5, overdraft_limit: 10, requested: 6 },
            Rejection::BalanceOverflow { balance: i64::MAX, requested: 1 },
            Rejection::BalanceNotZero { balance: -1 },
            Rejection::HoldsOpen { held: 2 },
            Rejection::LimitAboveBalance { available: i128::from(i64::MIN) - 1, requested: 0 },
        ]
    }

    #[test]
    fn every_rejection_reads_back_as_it_was_written_and_none_in_part() {
        for rejection in rejections() {
            let details = RejectionDetails {
                event_type: 3,
                expected_version: StreamVersion::new(9),
                overdraft_limit: 0,
                rejection,
            };
            let bytes = encode_rejection(&details);
            assert_eq!(decode_rejection(Some(&bytes)), Ok(details));
            for length in 0..bytes.len() {
                assert_eq!(decode_rejection(Some(&bytes[..length])), Err(DetailsUnknown));
            }
            assert_eq!(decode_rejection(Some(&[bytes, vec![0]].concat())), Err(DetailsUnknown));
        }
    }

    /// The first byte of a reason, for ever.
    #[test]
    fn reasons_never_change_their_numbers() {
        let numbers = rejections().into_iter().map(|rejection| {
            let mut bytes = Vec::new();
            put_reason(&mut bytes, &rejection);
            bytes[0]
        });
        assert_eq!(numbers.collect::<Vec<_>>(), (1..=12).collect::<Vec<u8>>());
        assert_eq!(rejections()[0].to_string(), "account alice does not exist");
        assert_eq!(rejections()[11].to_string().split(' ').next(), Some("-9223372036854775809"));
    }

    #[test]
    fn stored_labels_never_change_their_bytes() {
        let labels = BTreeMap::from([("a".to_owned(), "bc".to_owned())]);
        let expected = "0100000000000000016100000000000000026263";
        assert_eq!(hex::encode(encode_labels(&labels).unwrap()), expected);
    }

    #[test]
    fn stored_rejections_never_change_their_bytes() {
        let details = RejectionDetails {
            event_type: 3,
            expected_version: None,
            overdraft_limit: 0,
            rejection: Rejection::InsufficientFunds {
                available: 5,
                overdraft_limit: 0,
                requested: 6,
            },
        };
        let expected = "010003ffffffffffffffff0000000000000000\
                        08000000000000000000000000000000050000000000000000\
                        0000000000000006";
        assert_eq!(hex::encode(encode_rejection(&details)), expected);
    }

    #[test]
    fn a_batch_reads_back_as_it_was_written_with_and_without_details_of_the_row() {
        let extent = |shard, first, rows| BatchExtent {
            shard: Shard::new(shard).unwrap(),
            first: Position::new(first).unwrap(),
            rows,
        };
        let extents = vec![extent(0, 7, 3), extent(2, 1, 1)];
        for details in [None, Some(vec![FORMAT, 5])] {
            let bytes = encode_batch(&extents, details.clone());
            assert_eq!(split_batch(Some(&bytes)), Ok((Some(extents.clone()), details.as_deref())));
        }
        let bytes = encode_batch(&extents, None);
        assert_eq!(
            hex::encode(&bytes),
            "02000200000000000000000007000000030002000000000000000100000001"
        );
        for length in 1..bytes.len() {
            assert_eq!(split_batch(Some(&bytes[..length])), Err(DetailsUnknown));
        }
        let nowhere = encode_batch(&[extent(0, i64::MAX, 3)], None);
        assert_eq!(split_batch(Some(&nowhere)), Err(DetailsUnknown), "counting on would overflow");
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let opening = encode_batch(&extents, encode_labels(&labels));
        assert_eq!(decode_labels(Some(&opening)), Ok(labels));
        assert_eq!(decode_labels(Some(&bytes)), Ok(BTreeMap::new()));
    }

    #[test]
    fn labels_read_back_as_they_were_written() {
        let labels =
            BTreeMap::from([("branch".to_owned(), "7".to_owned()), ("a".into(), String::new())]);
        let bytes = encode_labels(&labels);
        assert_eq!(decode_labels(bytes.as_deref()), Ok(labels));
        assert_eq!(encode_labels(&BTreeMap::new()), None);
        assert_eq!(decode_labels(None), Ok(BTreeMap::new()));
        assert_eq!(decode_labels(Some(&[2])), Err(DetailsUnknown));
    }
}

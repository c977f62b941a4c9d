//! Packed values that somebody has damaged.

use ledger::{Shard, StreamVersion};
use proptest::{collection::vec, prelude::*};

use super::{
    AccountView, Checkpoint, Filling, HeadStamp, IndexedTransaction, LatestEntry, LogRecord,
    ShardTotals, StatementEntry, StatementHeader,
};
use crate::test_values::{
    account_id, sample_account, sample_checkpoint, sample_entry, sample_header,
};

/// Bytes that nearly are a value: one of ours with some changed, cut off or added.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let entry = sample_entry();
    let indexed = IndexedTransaction { account: sample_header().number, version: entry.version };
    let ours = vec![
        sample_account().encode(),
        sample_checkpoint(42).encode(),
        sample_header().encode(),
        LatestEntry::encode(&sample_header(), entry.version, &entry.pack(Shard::ZERO)),
        indexed.encode().to_vec(),
        sample_entry().encode(Shard::ZERO),
    ];
    let damage = (
        proptest::sample::select(ours),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        0_usize..3,
        vec(any::<u8>(), 0..3),
    );
    let damaged = damage.prop_map(|(mut bytes, changes, cut, added)| {
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(bytes.len() - cut);
        bytes.extend(added);
        bytes
    });
    prop_oneof![3 => damaged, 1 => vec(any::<u8>(), 0..80)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is read is written back the same: a value has one form, so that comparing bytes is comparing values.
    #[test]
    fn a_damaged_value_is_refused_or_is_another_value(bytes in damaged()) {
        let alice = account_id("alice");
        let version = StreamVersion::new(7).unwrap();
        if let Ok(value) = AccountView::decode(&alice, &bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = Checkpoint::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = StatementHeader::decode(&bytes) {
            prop_assert!(bytes.starts_with(&value.encode()));
        }
        if let Ok(LatestEntry { header, entry }) = LatestEntry::decode(Shard::ZERO, &bytes) {
            let value = match entry {
                Some(entry) => LatestEntry::encode(&header, entry.version, &entry.pack(Shard::ZERO)),
                None => header.encode(),
            };
            prop_assert_eq!(value, bytes.clone());
        }
        if let Ok(value) = StatementEntry::decode(Shard::ZERO, version, &bytes) {
            prop_assert_eq!(value.encode(Shard::ZERO), bytes.clone());
        }
        if let Ok(value) = Filling::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = ShardTotals::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(Some(value)) = IndexedTransaction::decode(&bytes) {
            prop_assert_eq!(&value.encode()[..], &bytes);
        }
        let _record = LogRecord::decode(&bytes);
        let _stamp = HeadStamp::decode(&bytes);
    }
}

//! Packed values that somebody has damaged.

use ledger::{Shard, StreamVersion};
use proptest::{collection::vec, prelude::*};

use super::{
    AccountView, Checkpoint, Filling, HeadStamp, IndexedTransaction, LogRecord, ShardTotals,
    StatementEntry, StatementHeader,
};
use crate::test_values::{
    account_id, sample_account, sample_checkpoint, sample_entry, sample_header,
};

/// Bytes that nearly are a value: one of ours with some changed, cut off or added.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let ours = vec![
        sample_account().encode(),
        sample_checkpoint(42).encode(),
        sample_header().encode(),
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
            prop_assert_eq!(value.encode(), bytes.clone());
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
        if let Ok(value) = IndexedTransaction::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        let _record = LogRecord::decode(&bytes);
        let _stamp = HeadStamp::decode(&bytes);
    }
}

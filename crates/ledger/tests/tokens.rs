//! Consistency tokens, whatever is given for one.

use ledger::{ConsistencyToken, LogId, Position, Shard};
use proptest::{collection::btree_map, prelude::*};
use uuid::Uuid;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_token_reads_back_as_it_was_written(log in any::<u128>(), places in btree_map(0_i16..1024, 0..=i64::MAX, 0..20)) {
        let places = places.into_iter().map(|(shard, position)| {
            (Shard::new(shard).unwrap(), Position::new(position).unwrap())
        });
        let token = ConsistencyToken { log_id: LogId(Uuid::from_u128(log)), positions: places.collect() };
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn what_reads_as_a_token_is_written_the_same_way(
        text in "cf1\\.[0-9a-f]{32}(\\.[0-9]{1,4}-[0-9]{1,20}){0,3}|\\PC{0,60}|(cf1|cf2|\\.|-|,|0|1|9|a){0,50}",
    ) {
        if let Ok(token) = text.parse::<ConsistencyToken>() {
            prop_assert_eq!(token.to_string().parse(), Ok(token.clone()));
            if !text.contains(',') {
                // One token has one spelling, so that nobody can tell two callers apart by it. Shards may come in any order.
                prop_assert_eq!(text.trim().len(), token.to_string().len());
            }
        }
    }
}

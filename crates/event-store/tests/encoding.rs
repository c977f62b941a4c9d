//! The encoding under the digest, and rows as they may come out of a damaged log: whatever is in them.

use event_store::{
    EventRow,
    chain::{DigestInput, digest},
};
use ledger::{Position, Shard, Timestamp};
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

fn texts() -> impl Strategy<Value = Option<String>> {
    // Few and short, so that the same ones meet at the borders of fields.
    option::of("[ab\u{0}]{0,3}")
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(-1), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(prop_oneof![vec(0_u8..4, 0..4), vec(any::<u8>(), 0..40)])
}

prop_compose! {
    fn values()(
        account in any::<i32>(), event_type in 0_i16..13, status in -1_i16..5, version in numbers(), balance in numbers(),
        amount in option::of(numbers()), held in option::of(numbers()), overdraft_limit in option::of(numbers()),
        peer_position in option::of(numbers()), peer_shard in option::of(any::<i16>()),
    ) -> EventRow {
        EventRow {
            account, event_type, version, balance, status, amount, held, overdraft_limit, peer_shard, peer_position,
            ..EventRow::default()
        }
    }
}

prop_compose! {
    fn rows()(
        row in values(), request_id in option::of(any::<u128>()), effective_at in option::of(any::<i64>()),
        schema_version in option::of(0_i16..3), account_id in texts(), owner_id in texts(), currency in texts(),
        reference in texts(), counterparty in texts(), actor in texts(), trace_context in bytes(), details in bytes(),
    ) -> EventRow {
        EventRow {
            request_id: request_id.map(Uuid::from_u128),
            effective_at: effective_at.and_then(Timestamp::from_micros),
            schema_version, account_id, owner_id, currency, reference, counterparty, actor, trace_context, details,
            ..row
        }
    }
}

fn digest_of(rows: &[EventRow]) -> [u8; 32] {
    let input = DigestInput {
        previous: &[7; 32],
        attempt: Uuid::from_u128(42),
        shard: Shard::ZERO,
        first: Position::ZERO.plus(1),
        accounts: 7,
    };
    digest(&input, rows)
}

/// One letter goes from the end of a field to the beginning of the next, as if the border between them were elsewhere.
fn with_border_moved(row: &EventRow) -> EventRow {
    let mut moved = row.clone();
    let fields = [
        &mut moved.account_id,
        &mut moved.owner_id,
        &mut moved.currency,
        &mut moved.reference,
        &mut moved.counterparty,
        &mut moved.actor,
    ];
    let mut carried = None;
    for field in fields {
        if let Some(letter) = carried {
            field.get_or_insert_default().insert(0, letter);
            break;
        }
        carried = field.as_mut().and_then(String::pop);
    }
    moved
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_different_batches_never_look_the_same_under_the_digest(one in vec(rows(), 1..4), other in vec(rows(), 1..4)) {
        prop_assert_eq!(digest_of(&one) == digest_of(&other), one == other);
        for index in 0..one.len() {
            let mut moved = one.clone();
            moved[index] = with_border_moved(&one[index]);
            prop_assert_eq!(digest_of(&moved) == digest_of(&one), moved == one);
        }
    }

    #[test]
    fn a_row_is_understood_or_refused_whatever_is_in_it(row in rows()) {
        let understood = row.event();
        prop_assert!(understood.is_err() || (1..=11).contains(&row.event_type));
        let _state = row.state();
        let _opening = row.opening();
        let _batch = row.batch();
        let _peer = row.peer();
    }
}

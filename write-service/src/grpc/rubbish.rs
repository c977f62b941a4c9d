//! Requests as nobody should send them.

use ledger::Operation;
use proptest::{option, prelude::*};
use prost::Message;
use prost_types::Timestamp;
use proto::{types::Money, write};

use super::request::{IntoCommand, command};

const AMOUNT_MAX: i64 = 1_000_000;

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("0190163d-8694-739b-88c3-d2f37f4c8f01".to_owned()),
        Just("00000000-0000-0000-0000-000000000000".to_owned()),
        Just("EUR".to_owned()),
        Just("XXX".to_owned()),
        "[A-Za-z0-9._:-]{1,70}",
        "\\PC{0,20}",
        "[\u{0}-\u{1f}a]{1,5}",
    ]
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(AMOUNT_MAX), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

prop_compose! {
    fn transfers()(
        request_id in texts(), source_account_id in texts(), destination_account_id in texts(), reference in texts(),
        currency_code in texts(), minor_units in numbers(), display in texts(), has_amount in any::<bool>(),
        time in option::of((numbers(), any::<i32>())), expected_version in option::of(numbers()),
    ) -> write::TransferRequest {
        write::TransferRequest {
            request_id, source_account_id, destination_account_id, reference,
            amount: has_amount.then_some(Money { currency_code, minor_units, display }),
            effective_time: time.map(|(seconds, nanos)| Timestamp { seconds, nanos }),
            expected_version,
        }
    }
}

/// Bytes as a message, and what is in it as a command: the one may fail and the other, and neither breaks.
fn read<R: Message + Default + IntoCommand + PartialEq + Clone>(bytes: &[u8]) {
    if let Ok(request) = R::decode(bytes) {
        let read = command(request.clone(), AMOUNT_MAX);
        if let Err(invalid) = &read {
            assert!(invalid.is_empty || !invalid.violations.is_empty());
        }
        assert_eq!(command(request, AMOUNT_MAX), read, "the same request is the same command");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_a_request_it_is_a_command_that_keeps_the_rules_or_says_what_is_wrong(request in transfers()) {
        match command(request.clone(), AMOUNT_MAX) {
            Ok(read) => {
                let Operation::Transfer(transfer) = &read.operation else { panic!("{read:?}") };
                prop_assert!((1..=AMOUNT_MAX).contains(&transfer.money.amount.minor_units()));
                prop_assert_ne!(&read.account_id, &transfer.destination);
                prop_assert!(!read.request_id.uuid().is_nil());
                prop_assert_eq!(read.account_id.as_str(), request.source_account_id);
            }
            Err(invalid) => prop_assert!(invalid.is_empty || !invalid.violations.is_empty()),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        request in transfers(), rubbish in proptest::collection::vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(),
    ) {
        let mut changed = request.encode_to_vec();
        let place = place.index(changed.len() + 1);
        changed.splice(place..place, rubbish.iter().copied().take(3));
        for bytes in [&changed[..], &changed[..place], &rubbish] {
            read::<write::OpenAccountRequest>(bytes);
            read::<write::DepositRequest>(bytes);
            read::<write::WithdrawRequest>(bytes);
            read::<write::PayBillRequest>(bytes);
            read::<write::TransferRequest>(bytes);
            read::<write::SetOverdraftLimitRequest>(bytes);
            read::<write::FreezeAccountRequest>(bytes);
            read::<write::UnfreezeAccountRequest>(bytes);
            read::<write::CloseAccountRequest>(bytes);
        }
    }
}

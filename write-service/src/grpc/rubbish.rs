//! Requests as nobody should send them.

use std::collections::BTreeSet;

use access::Reach;
use ledger::{AccountId, Operation};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use prost_types::Timestamp;
use proto::{
    types::Money,
    write::{self, command::Kind, command_result::Outcome},
};
use service_kit::error_details::{ErrorStatus, metadata};
use tonic::Code;

use super::{
    any_command::any_command,
    batch::{Mode, atomic_commands, checked_mode, refuse_duplicates},
    request::{IntoCommand, command},
    status::invalid,
};

const AMOUNT_MAX: i64 = 1_000_000;
const COMMANDS_MAX: usize = 4;

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

prop_compose! {
    fn openings()(
        request_id in texts(), account_id in texts(), owner_id in texts(), currency_code in texts(),
        overdraft_limit in numbers(), labels in proptest::collection::btree_map(texts(), texts(), 0..3),
    ) -> write::OpenAccountRequest {
        write::OpenAccountRequest { request_id, account_id, owner_id, currency_code, overdraft_limit, labels }
    }
}

/// Some are good, so that others are read as well.
fn commands() -> impl Strategy<Value = write::Command> {
    // Few ids, so that some stand in a batch twice, and some commands have none of their own.
    const IDS: [&str; 4] =
        ["", "", "0190163d-8694-739b-88c3-d2f37f4c8f02", "0190163d-8694-739b-88c3-d2f37f4c8f03"];
    let close = |(request_id, account_id)| {
        Kind::CloseAccount(write::CloseAccountRequest { request_id, account_id })
    };
    let good = (proptest::sample::select(&IDS).prop_map(str::to_owned), "[ab]").prop_map(close);
    let kinds = prop_oneof![
        9 => good.prop_map(Some),
        1 => (texts(), texts()).prop_map(close).prop_map(Some),
        1 => transfers().prop_map(Kind::Transfer).prop_map(Some),
        1 => openings().prop_map(Kind::OpenAccount).prop_map(Some),
        1 => Just(None),
    ];
    kinds.prop_map(|kind| write::Command { kind })
}

prop_compose! {
    fn batches()(
        mode in prop_oneof![4 => 0..=3, 1 => any::<i32>()], commands in vec(commands(), 0..6),
        request_id in prop_oneof![Just(String::new()), Just("0190163d-8694-739b-88c3-d2f37f4c8f01".to_owned()), texts()],
    ) -> write::ExecuteBatchRequest {
        write::ExecuteBatchRequest { mode, request_id, commands }
    }
}

/// What is wrong with a request is its caller's mistake, and nothing was done.
fn is_refused(error: ErrorStatus) {
    let reason = error.reason;
    let status = error.into_status();
    assert!([Code::InvalidArgument, Code::PermissionDenied].contains(&status.code()), "{status}");
    assert_eq!(status.code() == Code::PermissionDenied, reason == "ACCOUNT_ACCESS_DENIED");
    assert_eq!(metadata(&status).get("applied").map(String::as_str), Some("false"), "{status}");
}

/// A command as a stream or an independent batch carries it, of somebody who may do everything, and of somebody to whom `a` belongs.
fn read_any(request: Option<&write::Command>) {
    let of_a = Reach::of(&[AccountId::new("a").unwrap()], &[]);
    for (reach, is_limited) in [(Reach::everything(), false), (of_a, true)] {
        let (kind, read) = any_command(request.cloned(), AMOUNT_MAX, &reach);
        match read {
            Ok(read) => {
                assert!(!read.request_id.uuid().is_nil());
                assert!(!is_limited || read.account_id.as_str() == "a", "{read:?}");
            }
            Err(error) => {
                is_refused(error.clone());
                let Some(Outcome::Error(told)) = kind.result(Err(error.clone())).outcome else {
                    panic!("{error:?} is told otherwise");
                };
                assert_eq!(told.code, error.code as i32);
            }
        }
    }
}

/// A batch as the service reads it: first as a whole, then its commands.
fn read_batch(batch: write::ExecuteBatchRequest) {
    let count = batch.commands.len();
    match checked_mode(&batch, AMOUNT_MAX, COMMANDS_MAX) {
        Err(wrong) => is_refused(invalid(&wrong)),
        Ok(Mode::Atomic) => {
            let request_id = batch.request_id.to_lowercase();
            match atomic_commands(batch, AMOUNT_MAX) {
                Err(wrong) => is_refused(invalid(&wrong)),
                Ok((kinds, commands)) => {
                    assert_eq!((kinds.len(), commands.len()), (count, count));
                    for command in commands {
                        let id = command.request_id.uuid();
                        let spelled = [id.hyphenated().to_string(), id.simple().to_string()];
                        assert!(spelled.iter().any(|id| request_id.contains(id)), "{request_id}");
                    }
                }
            }
        }
        Ok(Mode::Independent) => {
            let reach = Reach::everything();
            let commands = batch.commands.into_iter();
            let commands: Vec<_> =
                commands.map(|command| any_command(Some(command), AMOUNT_MAX, &reach)).collect();
            assert_eq!(commands.len(), count);
            let ids: Vec<_> = commands
                .iter()
                .filter_map(|(_, command)| Some(command.as_ref().ok()?.request_id.uuid()))
                .collect();
            let different: BTreeSet<_> = ids.iter().collect();
            let refused = refuse_duplicates(&commands);
            assert_eq!(refused.is_err(), different.len() < ids.len());
            refused.err().into_iter().for_each(|wrong| is_refused(invalid(&wrong)));
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

    #[test]
    fn whatever_is_in_a_batch_it_is_read_whole_or_refused_as_not_applied(batch in batches()) {
        batch.commands.iter().for_each(|command| read_any(Some(command)));
        read_any(None);
        read_batch(batch);
    }

    #[test]
    fn any_bytes_are_read_as_commands_or_refused_as_not_applied(
        batch in batches(), rubbish in vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(),
    ) {
        let streamed = write::ExecuteStreamRequest { command: batch.commands.first().cloned() };
        for good in [batch.encode_to_vec(), streamed.encode_to_vec()] {
            let mut changed = good;
            let place = place.index(changed.len() + 1);
            changed.splice(place..place, rubbish.iter().copied().take(3));
            for bytes in [&changed[..], &changed[..place], &rubbish] {
                if let Ok(batch) = write::ExecuteBatchRequest::decode(bytes) {
                    read_batch(batch);
                }
                if let Ok(message) = write::ExecuteStreamRequest::decode(bytes) {
                    read_any(message.command.as_ref());
                }
            }
        }
    }
}

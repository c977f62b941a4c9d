//! Requests as nobody should send them.

use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use proto::read::{self, ReadConsistency, read_consistency::Requirement};
use tonic::Code;

use super::request::{BATCH_ACCOUNTS_MAX, Checker};
use super::status::error_status;
use crate::error::{QueryError, Violations};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("alice".to_owned()),
        Just("0-7".to_owned()),
        Just("cf1.0190163d8694739b88c3d2f37f4c8f7e.0-7,1-9".to_owned()),
        Just(
            "cf1.0190163d8694739b88c3d2f37f4c8f7e.0-7,cf1.00000000000000000000000000000001.0-7"
                .to_owned()
        ),
        "cf1\\.[0-9a-f]{32}\\.[0-9,-]{1,12}",
        "[0-9]{1,6}-[0-9]{1,20}",
        "01[0-9a-f]{16,40}",
        "[A-Za-z0-9._:-]{1,70}",
        "\\PC{0,20}",
        "[\u{0}-\u{1f}a]{1,5}",
    ]
}

fn consistencies() -> impl Strategy<Value = Option<ReadConsistency>> {
    let staleness = (prop_oneof![0..100_i64, any::<i64>()], prop_oneof![0..9_i32, any::<i32>()]);
    let requirement = prop_oneof![
        texts().prop_map(Requirement::AtLeastAsFresh),
        staleness.prop_map(|(seconds, nanos)| {
            Requirement::MaxStaleness(prost_types::Duration { seconds, nanos })
        }),
    ];
    option::of(option::of(requirement).prop_map(|requirement| ReadConsistency { requirement }))
}

/// What a request is refused with names what is wrong, and is its caller's mistake.
fn is_refused(violations: Violations) {
    assert!(!violations.0.is_empty());
    assert!(violations.0.iter().all(|violation| !violation.field.is_empty()));
    let told = violations.0.len();
    let status = error_status(&QueryError::from(violations));
    assert_eq!((status.code, status.violations.len()), (Code::InvalidArgument, told));
}

/// What was read is there, or something is said to be wrong.
fn is_read_or_refused<T>(check: Checker, fields: Option<T>) -> Option<T> {
    match check.finish(fields) {
        Ok(fields) => Some(fields),
        Err(violations) => {
            is_refused(violations);
            None
        }
    }
}

/// Each request as its handler reads it.
trait Checked: Message + Default {
    fn check(self);
}

macro_rules! checked {
    ($($request:ident: $asked:ident, $check:ident => $fields:expr),* $(,)?) => {$(
        impl Checked for read::$request {
            fn check(self) {
                let ($asked, mut $check) = (self, Checker::default());
                let fields = $fields;
                let fields = fields.zip($check.consistency($asked.consistency.as_ref()));
                is_read_or_refused($check, fields);
            }
        }
    )*};
}

checked! {
    GetAccountRequest: asked, check => check.account_id(&asked.account_id),
    GetBalanceRequest: asked, check => check.account_id(&asked.account_id),
    GetLatestTransactionRequest: asked, check => check.account_id(&asked.account_id),
    GetTransactionRequest: asked, check => check.transaction_id(&asked.transaction_id),
    GetTotalsRequest: asked, check => Some(()),
    GetReadModelStatusRequest: asked, check => Some(()),
    BatchGetBalancesRequest: asked, check => {
        let ids = check.account_ids(&asked.account_ids);
        assert!(ids.as_ref().is_none_or(|ids| (1..=BATCH_ACCOUNTS_MAX).contains(&ids.len())));
        ids
    },
    ListAccountsRequest: asked, check => {
        let owner = check.owner_id(&asked.owner_id);
        let size = check.page_size(asked.page_size);
        assert!(size.is_none_or(|size| (1..=500).contains(&size)));
        let page = check.accounts_page(owner.as_ref(), &asked.page_token);
        owner.zip(size).zip(page)
    },
    ListTransactionsRequest: asked, check => {
        let id = check.account_id(&asked.account_id);
        let size = check.page_size(asked.page_size);
        assert!(size.is_none_or(|size| (1..=500).contains(&size)));
        let page = check.statement_page(id.as_ref(), &asked.page_token);
        id.zip(size).zip(page)
    },
}

/// Bytes as a message, and what is in it as a question: the one may fail and the other, and neither breaks.
fn decoded<R: Checked>(bytes: &[u8]) {
    if let Ok(request) = R::decode(bytes) {
        request.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_a_request_it_is_a_question_or_says_what_is_wrong(
        id in texts(), ids in vec(texts(), 0..4), page_token in texts(), page_size in prop_oneof![0..9, any::<i32>()],
        consistency in consistencies(),
    ) {
        read::GetAccountRequest { account_id: id.clone(), consistency: consistency.clone() }.check();
        read::GetBalanceRequest { account_id: id.clone(), consistency: consistency.clone() }.check();
        read::GetTransactionRequest { transaction_id: id.clone(), consistency: consistency.clone() }.check();
        read::GetLatestTransactionRequest { account_id: id.clone(), consistency: consistency.clone() }.check();
        read::GetTotalsRequest { consistency: consistency.clone() }.check();
        read::GetReadModelStatusRequest { consistency: consistency.clone() }.check();
        read::BatchGetBalancesRequest { account_ids: ids, consistency: consistency.clone() }.check();
        let (owner_id, token) = (id.clone(), page_token.clone());
        read::ListAccountsRequest { owner_id, page_size, page_token: token, consistency: consistency.clone() }.check();
        read::ListTransactionsRequest { account_id: id, page_size, page_token, consistency }.check();
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        account_id in texts(), page_token in texts(), page_size in any::<i32>(), consistency in consistencies(),
        rubbish in vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(),
    ) {
        // Other requests have the same fields, or fewer.
        let request = read::ListTransactionsRequest { account_id, page_size, page_token, consistency };
        let mut changed = request.encode_to_vec();
        let place = place.index(changed.len() + 1);
        changed.splice(place..place, rubbish.iter().copied().take(3));
        for bytes in [&changed[..], &changed[..place], &rubbish] {
            decoded::<read::GetAccountRequest>(bytes);
            decoded::<read::GetBalanceRequest>(bytes);
            decoded::<read::BatchGetBalancesRequest>(bytes);
            decoded::<read::ListAccountsRequest>(bytes);
            decoded::<read::GetTransactionRequest>(bytes);
            decoded::<read::GetLatestTransactionRequest>(bytes);
            decoded::<read::ListTransactionsRequest>(bytes);
            decoded::<read::GetTotalsRequest>(bytes);
            decoded::<read::GetReadModelStatusRequest>(bytes);
        }
    }
}

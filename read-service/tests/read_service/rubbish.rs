//! Messages that nobody should send, to every method: whatever is in them, none is taken for a mistake of the service's own.

use std::collections::BTreeSet;

use dev_rubbish::Dice;
use dev_servers::Redis;
use futures::{StreamExt, stream};
use prost::Message;
use proto::read::{GetReadModelStatusRequest, GetTotalsRequest, ReadConsistency};
use service_kit::error_details::reason;
use tonic::Code;

use crate::access::methods;
use crate::support::*;

/// Messages to each method.
const MESSAGES: usize = 400;
/// Calls under way at once.
const AT_ONCE: usize = 16;

/// What a client should send to a method, asking for something fresh or not.
fn good(method: &str, consistency: Option<ReadConsistency>) -> Vec<u8> {
    macro_rules! bytes {
        ($message:expr) => {{
            let mut message = $message;
            message.consistency = consistency;
            message.encode_to_vec()
        }};
    }
    match method {
        "GetAccount" => bytes!(account("alice")),
        "GetBalance" => bytes!(balance("alice")),
        "BatchGetBalances" => bytes!(balances(["alice", "bob", "alice"])),
        "ListAccounts" => bytes!(owned("acme", 2, "")),
        "GetTransaction" => bytes!(transaction("0-2")),
        "GetLatestTransaction" => bytes!(latest("alice")),
        "ListTransactions" => bytes!(statement("alice", 2, "")),
        "GetTotals" => GetTotalsRequest { consistency }.encode_to_vec(),
        "GetReadModelStatus" => GetReadModelStatusRequest { consistency }.encode_to_vec(),
        other => panic!("{other} is sent no rubbish"),
    }
}

#[tokio::test]
async fn no_message_whatever_is_in_it_is_answered_as_if_the_service_were_wrong() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.open("bob", "acme").await;
    model.deposit("alice", 5).await;
    model.stamp_heads().await;
    // Some ask for a position that never comes.
    let service = Service::start(&redis.url(), &["--wait-max-ms", "20"]).await;
    let good_client = service.client();
    let mut dice = Dice::default();
    for method in methods() {
        let messages: Vec<_> = (0..MESSAGES)
            .map(|number| {
                let fresh = [at_least(model.head()), stale_at_most(3600, 1)];
                dice.spoilt(good(&method, fresh[number % 2].clone()))
            })
            .collect();
        let answers = stream::iter(messages).map(async |message| {
            let answer = in_time(call_raw(service.channel.clone(), &method, &message)).await;
            (message, answer)
        });
        let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
        let mut reasons = BTreeSet::new();
        for (message, answer) in answers {
            let Err(status) = answer else { continue };
            let what = format!("{method} {message:02x?}: {status:?}");
            assert!(![Code::Internal, Code::Unknown].contains(&status.code()), "{what}");
            reasons.insert(reason(&status).expect(&what));
        }
        // Some could not be read, and some could be, and were wrong otherwise.
        let is_both = reasons.contains("MESSAGE_MALFORMED") && reasons.len() > 1;
        assert!(is_both, "{method} was refused for {reasons:?} only");
        let balance = in_time(good_client.clone().get_balance(balance("alice"))).await;
        assert_eq!(balance.unwrap().into_inner().balance.unwrap().minor_units, 5);
    }
}

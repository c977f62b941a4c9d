//! Messages that nobody should send, to every method: whatever is in them, none is taken for a mistake of the service's own.

use std::collections::BTreeSet;

use dev_rubbish::Dice;
use futures::{StreamExt, stream};
use prost::Message;
use proto::write::{ExecuteBatchResponse, ExecuteStreamRequest, ExecuteStreamResponse};
use tonic::Code;
use uuid::Uuid;

use crate::{
    access::methods,
    support::{batch::answer_of, *},
};

/// Messages to each method.
const MESSAGES: usize = 400;
/// Calls under way at once.
const AT_ONCE: usize = 16;

/// What a client should send to a method.
fn good(method: &str, dice: &mut Dice) -> Vec<u8> {
    let call = match method {
        "OpenAccount" => open(&Uuid::now_v7().to_string()),
        "Deposit" => deposit("a", 5).referring_to("salary"),
        "Withdraw" => withdraw("a", 5).expecting(7),
        "PayBill" => pay_bill("a", 5),
        "Transfer" => transfer("a", "b", 5),
        "SetOverdraftLimit" => set_limit("a", 5),
        "FreezeAccount" => freeze("b"),
        "UnfreezeAccount" => unfreeze("b"),
        "CloseAccount" => close("b"),
        "ExecuteBatch" => {
            let calls = [deposit("a", 5), transfer("a", "b", 1), open("a")];
            return match dice.roll(2) {
                0 => independent(&calls).encode_to_vec(),
                _ => atomic(Uuid::now_v7(), &calls).encode_to_vec(),
            };
        }
        "ExecuteStream" => {
            let command = Some(command(deposit("a", 5)));
            return ExecuteStreamRequest { command }.encode_to_vec();
        }
        other => panic!("{other} is sent no rubbish"),
    };
    call.bytes()
}

/// Why a call was refused, or single commands of it.
fn refusals(method: &str, answer: Result<Vec<u8>, Refusal>) -> Vec<Refusal> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => return vec![refusal],
    };
    let results = match method {
        "ExecuteBatch" => ExecuteBatchResponse::decode(&answer[..]).unwrap().results,
        "ExecuteStream" => {
            ExecuteStreamResponse::decode(&answer[..]).unwrap().result.into_iter().collect()
        }
        _ => Vec::new(),
    };
    results.into_iter().filter_map(|result| answer_of(result).err()).collect()
}

#[tokio::test]
async fn no_message_whatever_is_in_it_is_answered_as_if_the_service_were_wrong() {
    let log = Log::create(1).await;
    let service = log.service().await;
    let good_client = Client::connect(service.client.addr).await;
    for account in ["a", "b", "good"] {
        good_client.done(open(account)).await;
    }
    let mut dice = Dice::default();
    for method in methods() {
        let messages: Vec<_> = (0..MESSAGES)
            .map(|_| {
                let good = good(&method, &mut dice);
                dice.spoilt(good)
            })
            .collect();
        let client = &service.client;
        let answers = stream::iter(messages).map(async |message| {
            let answer = within("an answer", client.send_bytes(&method, message.clone())).await;
            (message, answer)
        });
        let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
        let mut reasons = BTreeSet::new();
        for (message, answer) in answers {
            for refusal in refusals(&method, answer) {
                let what = format!("{method} {message:02x?}: {refusal:?}");
                assert!(![Code::Internal, Code::Unknown].contains(&refusal.code), "{what}");
                assert_eq!(refusal.applied(), "false", "{what}");
                reasons.insert(refusal.reason);
            }
        }
        // Some could not be read, and some could be, and were wrong otherwise.
        let is_both = reasons.contains("MESSAGE_MALFORMED") && reasons.len() > 1;
        assert!(is_both, "{method} was refused for {reasons:?} only");
        good_client.done(deposit("good", 1)).await;
    }
    let deposits = i64::try_from(methods().len()).unwrap();
    assert_eq!(log.judge().await.balance("good"), deposits);
}

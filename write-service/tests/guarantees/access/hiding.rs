//! What a caller must not learn of accounts that are not his: not by code, not by words, not by a retry.

use proto::write::BatchMode;
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use super::open_for;
use crate::support::{
    access::{Guarded, GuardedClient, Said, said},
    *,
};

mod shards {
    crate::support::with_one_shard_and_four!(
        an_account_that_is_anothers_and_one_that_nobody_has_are_the_same,
        a_retry_reveals_nothing_of_anothers_command,
        a_refusal_for_lack_of_rights_is_not_kept,
        a_payer_does_not_see_the_payee,
        whether_there_is_a_payee_costs_what_he_is_paid,
        a_stored_refusal_that_speaks_of_the_payee_is_not_repeated_to_the_payer,
    );
}

async fn world(shards: i16) -> (Log, Guarded, GuardedClient) {
    let log = Log::create(shards).await;
    let service = Guarded::start(&log).await;
    let operator = service.operator().await;
    for (account, owner) in [("mine", "acme"), ("mine-too", "acme"), ("theirs", "shop")] {
        operator.done(open_for(account, owner)).await;
        operator.done(deposit(account, 100)).await;
    }
    (log, service, operator)
}

fn said_of<T>(answer: Result<T, Status>) -> Said {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(status) => said(status.into()),
    }
}

async fn an_account_that_is_anothers_and_one_that_nobody_has_are_the_same(shards: i16) {
    let (log, service, _) = world(shards).await;
    let before = log.admin().await.count_events().await;
    let by_owner = service.owner("acme").await;
    let by_account = service.caller("t", &json!({"scope": "write", "accounts": ["mine"]})).await;
    for client in [by_owner, by_account] {
        let calls: [fn(&str) -> Call; 9] = [
            |id| deposit(id, 1),
            |id| deposit(id, 1).expecting(1),
            |id| withdraw(id, 1_000),
            |id| pay_bill(id, 1),
            |id| transfer(id, "mine", 1),
            |id| set_limit(id, 1),
            freeze,
            unfreeze,
            close,
        ];
        for call in calls {
            let theirs = said_of(client.send(call("theirs")).await);
            let nobodys = said_of(client.send(call("nobodys")).await);
            assert_eq!(theirs, nobodys);
            assert_eq!(theirs.1, "ACCOUNT_ACCESS_DENIED");
            let batch = async |id| {
                let calls = vec![deposit("mine", 1), call(id)];
                said_of(client.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls).await)
            };
            assert_eq!(batch("theirs").await, batch("nobodys").await);
        }
    }
    assert_eq!(log.admin().await.count_events().await, before);
}

async fn a_retry_reveals_nothing_of_anothers_command(shards: i16) {
    let (_log, service, operator) = world(shards).await;
    let paid = withdraw("theirs", 7);
    operator.done(paid.clone()).await;
    let too_much = withdraw("theirs", 7_000);
    assert_eq!(operator.refused(too_much.clone()).await.reason, "INSUFFICIENT_FUNDS");
    let opened = open_for("theirs-too", "shop");
    operator.done(opened.clone()).await;
    let never_sent = said_of(service.owner("acme").await.send(withdraw("nobodys", 7)).await);

    let acme = service.owner("acme").await;
    for known in [paid.clone(), too_much.clone(), opened] {
        assert_eq!(said_of(acme.send(known).await), never_sent);
    }
    // Somebody else whose business the account is gets what was decided.
    let shop = service.owner("shop").await;
    assert!(shop.done(paid).await.write.replayed);
    assert!(shop.refused(too_much).await.is_replayed());

    let batch = vec![deposit("theirs", 1), withdraw("theirs", 1)];
    let id = Uuid::now_v7();
    operator.batch(BatchMode::Atomic, Some(id), batch.clone()).await.unwrap();
    assert_eq!(said_of(acme.batch(BatchMode::Atomic, Some(id), batch.clone()).await), never_sent);
    assert!(shop.batch(BatchMode::Atomic, Some(id), batch).await.is_ok());
}

async fn a_refusal_for_lack_of_rights_is_not_kept(shards: i16) {
    let (log, service, operator) = world(shards).await;
    let before = log.admin().await.count_events().await;
    let deposited = deposit("theirs", 5);
    let acme = service.owner("acme").await;
    assert_eq!(acme.refused(deposited.clone()).await.reason, "ACCOUNT_ACCESS_DENIED");
    assert_eq!(log.admin().await.count_events().await, before);
    let done = operator.done(deposited).await;
    assert!(!done.write.replayed && done.balance() == 105);
    // An account that comes to be his is his from then on.
    assert_eq!(acme.refused(deposit("later", 5)).await.reason, "ACCOUNT_ACCESS_DENIED");
    operator.done(open_for("later", "acme")).await;
    acme.done(deposit("later", 5)).await;
}

async fn a_payer_does_not_see_the_payee(shards: i16) {
    let (_log, service, operator) = world(shards).await;
    let acme = service.owner("acme").await;
    let sees = |answer: &Answer| answer.as_ref().unwrap().destination.is_some();
    for (payee, is_seen) in [("theirs", false), ("mine-too", true)] {
        let paid = transfer("mine", payee, 1);
        let first = acme.done(paid.clone()).await;
        let again = acme.done(paid.clone()).await;
        assert!(again.write.replayed);
        for done in [first, again] {
            assert_eq!(done.destination.is_some(), is_seen, "{payee}");
            assert_eq!(done.account.account_id, "mine");
        }
        assert!(operator.done(paid).await.destination.is_some());
        let calls = vec![transfer("mine", payee, 1), transfer("mine", payee, 2)];
        let id = Uuid::now_v7();
        for _replayed in [false, true] {
            let atomic = acme.batch(BatchMode::Atomic, Some(id), calls.clone()).await.unwrap();
            let each = acme.batch(BatchMode::Independent, None, calls.clone()).await.unwrap();
            let streamed = acme.stream(calls.clone()).await.unwrap();
            for answers in [atomic, each, streamed] {
                assert_eq!(answers.len(), 2);
                assert!(answers.iter().all(|answer| sees(answer) == is_seen), "{payee}");
            }
        }
    }
}

async fn whether_there_is_a_payee_costs_what_he_is_paid(shards: i16) {
    let (log, service, operator) = world(shards).await;
    for call in
        [open_for("closed", "shop"), close("closed"), open_for("yen", "shop").in_currency("JPY")]
    {
        operator.done(call).await;
    }
    let acme = service.owner("acme").await;
    let payees = ["theirs", "nobodys", "closed", "yen"];
    // Without the money, nothing of the payee is told.
    for payee in payees {
        let refusal = acme.refused(transfer("mine", payee, 1_000)).await;
        assert_eq!(refusal.reason, "INSUFFICIENT_FUNDS", "{payee}");
    }
    // Nor by a batch that cannot succeed.
    let mut told = Vec::new();
    for payee in payees {
        let calls = vec![transfer("mine", payee, 1), withdraw("mine", 1_000)];
        told.push(said_of(acme.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls).await));
        let calls = vec![withdraw("mine", 1_000), transfer("mine", payee, 1)];
        let said = said_of(acme.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls).await);
        assert_eq!(said.1, "BATCH_REFUSED");
    }
    assert!(told.iter().all(|said| *said == told[0]), "{told:?}");
    assert_eq!((told[0].1.as_str(), told[0].3["index"].as_str()), ("BATCH_REFUSED", "1"));
    // With the money: whatever stands against the payee is the same, and nothing is kept of it.
    let before = log.admin().await.count_events().await;
    let mut told = Vec::new();
    for payee in ["nobodys", "closed", "yen"] {
        told.push(said_of(acme.send(transfer("mine", payee, 1)).await));
        let calls = vec![deposit("mine", 1), transfer("mine", payee, 1)];
        told.push(said_of(acme.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls).await));
    }
    assert!(told.iter().all(|said| *said == told[0]), "{told:?}");
    assert_eq!(told[0].1, "ACCOUNT_ACCESS_DENIED");
    assert_eq!(log.admin().await.count_events().await, before);
    // Of his own accounts he is told all.
    acme.done(withdraw("mine-too", 100)).await;
    acme.done(close("mine-too")).await;
    assert_eq!(acme.refused(transfer("mine", "mine-too", 1)).await.reason, "ACCOUNT_CLOSED");
    acme.done(transfer("mine", "theirs", 1)).await;
    log.judge().await;
}

async fn a_stored_refusal_that_speaks_of_the_payee_is_not_repeated_to_the_payer(shards: i16) {
    let (_log, service, operator) = world(shards).await;
    operator.done(open_for("yen", "shop").in_currency("JPY")).await;
    operator.done(open_for("own-yen", "acme").in_currency("JPY")).await;
    let acme = service.owner("acme").await;
    let to_another = transfer("mine", "yen", 1);
    assert_eq!(operator.refused(to_another.clone()).await.reason, "CURRENCY_MISMATCH");
    let told = acme.refused(to_another.clone()).await;
    assert_eq!(told.reason, "ACCOUNT_ACCESS_DENIED");
    assert!(!format!("{told:?}").contains("JPY"), "{told:?}");
    assert!(operator.refused(to_another).await.is_replayed());
    // What speaks of his own accounts is.
    for own in [transfer("mine", "own-yen", 1), transfer("mine", "theirs", 1_000)] {
        let first = operator.refused(own.clone()).await;
        let again = acme.refused(own).await;
        assert!(again.is_replayed());
        assert_eq!(again.like_first(), first.like_first());
    }
}

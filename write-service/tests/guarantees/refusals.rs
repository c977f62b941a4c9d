//! A refusal by the rules is a fact: kept, repeated, and without any effect. What is no fact leaves its id undecided.

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        a_stored_refusal_has_a_position_and_leaves_version_and_balance_alone,
        a_version_that_has_not_come_is_refused_for_good,
        a_version_that_has_passed_leaves_the_id_undecided,
        an_account_that_is_not_there_leaves_the_id_undecided,
        an_account_that_is_there_already_leaves_the_id_undecided,
        a_malformed_request_leaves_the_id_undecided,
        a_refusal_that_rests_on_an_append_under_way_waits_for_it,
    );
}

async fn a_stored_refusal_has_a_position_and_leaves_version_and_balance_alone(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    for call in [open("a"), open("b"), deposit("a", 10)] {
        service.done(call).await;
    }
    let before = log.judge().await;
    let refused = [withdraw("a", 11), transfer("a", "b", 11), close("a"), unfreeze("a")];
    for call in refused.clone() {
        service.refused(call).await;
    }
    let after = log.judge().await;
    assert_eq!(after.accounts, before.accounts);
    assert_eq!(after.events.len(), before.events.len() + refused.len());
    for call in refused {
        let event = after.event_of(&call).unwrap();
        assert_eq!(after.name_of(event), "a");
    }
    let next = service.done(withdraw("a", 10).expecting(2)).await;
    assert_eq!((next.version(), next.balance()), (3, 0));
}

async fn a_version_that_has_not_come_is_refused_for_good(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let early = deposit("a", 5).expecting(2);
    let first = service.refused(early.clone()).await;
    assert_eq!(first.reason, "VERSION_CONFLICT");
    assert_eq!(first.metadata["current_version"], "1");
    service.done(deposit("a", 1)).await; // now the account stands at version 2
    let again = service.refused(early.clone()).await;
    assert!(again.is_replayed() && again.like_first() == first);
    assert!(log.judge().await.event_of(&early).is_some());
}

async fn a_version_that_has_passed_leaves_the_id_undecided(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    for call in [open("a"), open("b"), deposit("a", 1)] {
        service.done(call).await;
    }
    let late = [deposit("a", 5), withdraw("a", 1), transfer("a", "b", 1)];
    for call in late.clone() {
        let refusal = service.refused(call.expecting(1)).await;
        assert_eq!(refusal.reason, "VERSION_CONFLICT");
        assert_eq!(refusal.metadata["current_version"], "2");
    }
    let found = log.judge().await;
    assert!(late.iter().all(|call| found.event_of(call).is_none()));
    for call in late {
        let done = service.done(call).await; // the same id, without a version
        assert!(!done.write.replayed);
    }
}

async fn an_account_that_is_not_there_leaves_the_id_undecided(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    service.done(open("rich")).await;
    service.done(deposit("rich", 100)).await;
    let (paid, sent) = (deposit("late", 5), transfer("rich", "late", 7));
    for call in [paid.clone(), sent.clone()] {
        let refusal = service.refused(call).await;
        assert_eq!(refusal.reason, "ACCOUNT_NOT_FOUND");
        assert_eq!(refusal.metadata["account_id"], "late");
    }
    service.done(open("late")).await;
    assert_eq!(service.done(paid).await.balance(), 5);
    assert_eq!(service.done(sent).await.balance(), 93);
    assert_eq!(log.judge().await.balance("late"), 12);
}

async fn an_account_that_is_there_already_leaves_the_id_undecided(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let again = open("a");
    assert_eq!(service.refused(again.clone()).await.reason, "ACCOUNT_ALREADY_EXISTS");
    let other = deposit("a", 5).with_id(again.id());
    assert_eq!(service.done(other).await.balance(), 5);
}

async fn a_malformed_request_leaves_the_id_undecided(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let call = deposit("a", 0);
    assert_eq!(service.refused(call.clone()).await.reason, "AMOUNT_NOT_POSITIVE");
    service.done(deposit("a", 5).with_id(call.id())).await;
}

async fn a_refusal_that_rests_on_an_append_under_way_waits_for_it(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let admin = log.admin().await;
    let old = open("old");
    service.done(old.clone()).await;
    let held = admin.hold_appends().await;
    let first = service.send(open("a"));
    let second = async {
        admin.until_appends_wait(1).await;
        let mut second = Box::pin(service.send(open("a")));
        let replays = async {
            // Answered after a look at the log, and looks are made one after another: the second has been decided too.
            for _ in 0..3 {
                assert!(service.done(old.clone()).await.write.replayed);
            }
        };
        tokio::select! {
            biased;
            answer = &mut second => panic!("answered before the first is stored: {answer:?}"),
            () = replays => {}
        }
        drop(held);
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().reason, "ACCOUNT_ALREADY_EXISTS");
}

//! Callers that leave, and a service that does.

use futures::FutureExt;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        a_caller_that_leaves_undoes_nothing_and_leaves_nothing_half_done,
        a_service_that_ends_under_load_answers_all_that_it_took,
        a_service_that_ends_while_the_database_is_slow_finishes_first,
    );
}

async fn a_caller_that_leaves_undoes_nothing_and_leaves_nothing_half_done(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service_with(&["--batches-under-way-max", "1"]).await;
    let admin = log.admin().await;
    for call in [open("a"), open("b"), deposit("a", 1_000)] {
        service.done(call).await;
    }
    let history = History::default();
    for round in 0..10 {
        let (sent, queued) = (transfer("a", "b", 10), transfer("b", "a", 3));
        let held = admin.hold_appends().await;
        {
            let mut first = Box::pin(service.send(sent.clone()));
            let mut second = Box::pin(service.send(queued.clone()));
            let under_way = admin.until_appends_wait(1);
            tokio::select! {
                () = under_way => {}
                answer = &mut first => panic!("{answer:?}"),
            }
            assert!((&mut second).now_or_never().is_none());
            // On the same connection, behind the second: so the second has arrived.
            tokio::select! {
                refusal = service.refused(deposit("a", 0)) => assert_eq!(refusal.applied(), "false"),
                answer = &mut second => panic!("{answer:?}"),
            }
        } // both callers leave here
        drop(held);
        let next = deposit("a", 1);
        history.note(next.clone(), service.send(next).await);
        let found = log.judge().await;
        assert!(
            found.event_of(&sent).is_some(),
            "round {round}: it was under way, and ran to its end"
        );
        for call in [sent, queued] {
            let was_there = found.event_of(&call).is_some();
            let again = service.done(call.clone()).await;
            assert_eq!(again.write.replayed, was_there, "round {round}: {call:?}");
            history.note(call, Ok(again));
        }
    }
    let found = log.judge().await;
    assert_eq!((found.balance("a"), found.balance("b")), (1_000 - 100 + 30 + 10, 100 - 30));
    service.stop().await;
}

async fn a_service_that_ends_under_load_answers_all_that_it_took(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 8, &history).await;
    let calls = mixed_calls(&names, 400);
    let client = service.client.clone();
    let answers = every_one(&client, calls.clone());
    let ending = async {
        let admin = log.admin().await;
        until("work has begun", async || admin.count_events().await > 30).await;
        service.stop().await;
    };
    let (answers, ()) = tokio::join!(answers, ending);
    for (call, answer) in calls.into_iter().zip(answers) {
        if let Err(refusal) = &answer {
            let expected = ["", "INSUFFICIENT_FUNDS", "SHUTTING_DOWN"]; // the first: it was not taken
            assert!(expected.contains(&refusal.reason.as_str()), "{refusal:?}");
        }
        history.note(call, answer);
    }
    history.agrees_with(&log.judge().await);
}

async fn a_service_that_ends_while_the_database_is_slow_finishes_first(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 8, &history).await;
    let admin = log.admin().await;
    let held = admin.hold_appends().await;
    let calls: Vec<Call> = (0..300).map(|number| deposit(&names[number % 8], 1)).collect();
    let client = service.client.clone();
    let answers = every_one(&client, calls.clone());
    let ending = async {
        admin.until_appends_wait(1).await;
        // Behind all the others on the same connection: they have arrived.
        assert_eq!(client.refused(deposit("a", 0)).await.reason, "AMOUNT_NOT_POSITIVE");
        service.begin_to_stop();
        let late = client.refused(deposit(&names[0], 1)).await;
        assert!(["", "SHUTTING_DOWN"].contains(&late.reason.as_str()), "{late:?}");
        drop(held);
        service.stopped().await;
    };
    let (answers, ()) = tokio::join!(answers, ending);
    for (call, answer) in calls.into_iter().zip(answers) {
        assert!(answer.is_ok(), "{answer:?}");
        history.note(call, answer);
    }
    history.agrees_with(&log.judge().await);
}

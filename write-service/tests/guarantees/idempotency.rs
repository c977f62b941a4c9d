//! A command is decided once per request id, for ever, however often and wherever it is sent.

use uuid::Uuid;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        the_same_request_again_gets_the_stored_outcome,
        the_same_request_again_gets_the_identical_refusal,
        the_same_id_with_another_command_is_refused,
        duplicates_sent_at_once_are_decided_once,
        duplicates_sent_at_once_to_two_instances_are_decided_once,
        old_ids_mixed_with_new_ones_are_told_apart,
        a_duplicate_in_one_batch_does_not_wait_for_ever,
    );
}

/// One of each kind, in an order in which all are accepted.
fn one_of_each() -> [Call; 10] {
    [
        open_with_limit("a", 50),
        open("b"),
        deposit("a", 100).referring_to("wages"),
        withdraw("a", 10).expecting(2),
        pay_bill("a", 20),
        transfer("a", "b", 120).referring_to("rent"),
        set_limit("a", 70),
        freeze("b"),
        unfreeze("b"),
        deposit("a", 50),
    ]
}

async fn the_same_request_again_gets_the_stored_outcome(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let mut answers = Vec::new();
    for call in one_of_each().into_iter().chain([close("a")]) {
        let first = service.done(call.clone()).await;
        assert!(!first.write.replayed);
        answers.push((call, first));
    }
    let elsewhere = log.service().await;
    service.stop().await;
    let restarted = log.service().await;
    for (call, first) in &answers {
        for service in [&elsewhere, &restarted, &elsewhere] {
            let again = service.done(call.clone()).await;
            assert!(again.write.replayed);
            assert_eq!(again.like_first(), *first, "{call:?}");
        }
    }
    assert_eq!(log.judge().await.events.len(), answers.len() + 1, "a transfer is two events");
}

async fn the_same_request_again_gets_the_identical_refusal(shards: i16) {
    let log = Log::create(shards).await;
    let (service, elsewhere) = (log.service().await, log.service().await);
    let prepare = [
        open_with_limit("a", 50),
        withdraw("a", 30),
        open("full"),
        deposit("full", 1_000_000_000_000_000_000),
        open("yen").in_currency("JPY"),
        open("frozen"),
        freeze("frozen"),
        open("closed"),
        close("closed"),
    ];
    for call in prepare {
        service.done(call).await;
    }
    let refused = [
        withdraw("a", 21),
        pay_bill("a", 21).referring_to("rent"),
        transfer("a", "closed", 1),
        transfer("a", "yen", 1),
        deposit("a", 1).in_currency("JPY"),
        deposit("a", 1).expecting(99),
        set_limit("a", 29),
        withdraw("frozen", 1),
        freeze("frozen"),
        unfreeze("a"),
        close("a"),
        deposit("closed", 1),
    ];
    for call in &refused {
        let first = service.refused(call.clone()).await;
        assert!(!first.is_replayed(), "{call:?}");
        // What follows must not change what was said.
        service.done(deposit("a", 1000)).await;
        for service in [&service, &elsewhere] {
            let again = service.refused(call.clone()).await;
            assert!(again.is_replayed(), "{call:?}: {again:?}");
            assert_eq!(again.like_first(), first);
        }
        service.done(withdraw("a", 1000)).await;
    }
    let found = log.judge().await;
    assert!(refused.iter().all(|call| found.event_of(call).is_some()));
}

async fn the_same_id_with_another_command_is_refused(shards: i16) {
    let log = Log::create(shards).await;
    let (service, elsewhere) = (log.service().await, log.service().await);
    for call in one_of_each() {
        service.done(call).await;
    }
    let [mut given, mut late, mut paid] = [deposit("a", 5), deposit("a", 5), pay_bill("a", 5)];
    if let (Call::Deposit(given), Call::Deposit(late), Call::PayBill(paid)) =
        (&mut given, &mut late, &mut paid)
    {
        given.counterparty = "somebody else".into();
        late.effective_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        paid.payee = "tailor".into();
    }
    let other_opening = {
        let mut call = open("c");
        if let Call::OpenAccount(request) = &mut call {
            request.labels.clear();
        }
        call
    };
    let first_and_others = [
        (deposit("a", 5), vec![deposit("a", 6), withdraw("a", 5), given, late]),
        (deposit("a", 5), vec![deposit("a", 5).referring_to("wages"), freeze("a")]),
        (deposit("a", 5), vec![deposit("a", 5).in_currency("JPY"), transfer("a", "b", 5)]),
        (pay_bill("a", 5), vec![withdraw("a", 5), paid]),
        (transfer("a", "b", 5), vec![transfer("a", "nobody", 5), transfer("a", "b", 4)]),
        (set_limit("a", 60), vec![set_limit("a", 61)]),
        (freeze("b"), vec![unfreeze("b"), close("b")]),
        (open("c"), vec![open_with_limit("c", 1), open("c").in_currency("JPY"), other_opening]),
        (withdraw("a", 1_000), vec![withdraw("a", 1_001), withdraw("a", 1), pay_bill("a", 1_000)]),
    ];
    for (first, others) in first_and_others {
        let _ = service.send(first.clone()).await;
        for other in others {
            let other = other.with_id(first.id());
            for service in [&service, &elsewhere] {
                let refusal = service.refused(other.clone()).await;
                assert_eq!(refusal.reason, "REQUEST_ID_REUSED", "{first:?} then {other:?}");
            }
        }
    }
    let before = log.judge().await.events.len();
    if shards == 1 {
        let used = deposit("a", 5);
        service.done(used.clone()).await;
        let elsewhere = deposit("b", 5).with_id(used.id());
        assert_eq!(service.refused(elsewhere).await.reason, "REQUEST_ID_REUSED");
        assert_eq!(log.judge().await.events.len(), before + 1);
    }
}

async fn duplicates_sent_at_once_are_decided_once(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    for call in [open("a"), open("b"), deposit("a", 100)] {
        service.done(call).await;
    }
    let calls = [deposit("a", 10), withdraw("a", 1_000), transfer("a", "b", 30), open("c")];
    for call in calls {
        check_one_decision(&call, every_one(&service.client, vec![call.clone(); 25]).await);
    }
    let found = log.judge().await;
    assert_eq!((found.balance("a"), found.balance("b")), (80, 30));
}

async fn duplicates_sent_at_once_to_two_instances_are_decided_once(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    for call in [open("a"), open("b"), deposit("a", 100)] {
        one.done(call).await;
    }
    for _ in 0..8 {
        let calls = [
            deposit("a", 10),
            withdraw("a", 1_000),
            transfer("a", "b", 10),
            open(&Uuid::now_v7().to_string()),
        ];
        for call in calls {
            let twice = || vec![call.clone(); 4];
            let (mut answers, more) =
                tokio::join!(every_one(&one.client, twice()), every_one(&other.client, twice()),);
            answers.extend(more);
            check_one_decision(&call, answers);
        }
    }
    let found = log.judge().await;
    assert_eq!((found.balance("a"), found.balance("b")), (100, 80));
}

#[track_caller]
fn check_one_decision(call: &Call, answers: Vec<Answer>) {
    let replayed = answers.iter().filter(|answer| match answer {
        Ok(done) => done.write.replayed,
        Err(refusal) => refusal.is_replayed(),
    });
    assert_eq!(replayed.count(), answers.len() - 1, "{call:?} was decided once: {answers:?}");
    let like_first =
        |answer: &Answer| answer.clone().map(Done::like_first).map_err(Refusal::like_first);
    let first = like_first(&answers[0]);
    assert!(answers.iter().all(|answer| like_first(answer) == first), "{call:?}: {answers:?}");
}

/// A file that was imported in part is imported again, while others go on working.
async fn old_ids_mixed_with_new_ones_are_told_apart(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 10, &history).await;
    let file: Vec<Call> = (0..400).map(|line| deposit(&names[line % 10], 1)).collect();
    let part = file.iter().step_by(3).cloned().collect();
    retried(&service.client, part, 100, &history).await;
    service.stop().await;

    let service = log.service().await;
    let others = (0..200).map(|line| deposit(&names[line % 10], 10)).collect();
    let (answers, _) = tokio::join!(
        retried(&service.client, file, 100, &history),
        retried(&service.client, others, 20, &history),
    );
    for (line, answer) in answers.iter().enumerate() {
        assert_eq!(answer.as_ref().unwrap().write.replayed, line % 3 == 0, "line {line}");
    }
    let found = log.judge().await;
    history.agrees_with(&found);
    assert_eq!(names.iter().map(|name| found.balance(name)).sum::<i64>(), 400 + 2000);
}

async fn a_duplicate_in_one_batch_does_not_wait_for_ever(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    // Both are not kept: whoever waits for the other must be let go.
    let missing = deposit("nobody", 1);
    for answer in every_one(&service.client, vec![missing; 10]).await {
        assert_eq!(answer.unwrap_err().reason, "ACCOUNT_NOT_FOUND");
    }
    // The second waits for the first, which fails in another way.
    service.done(open("a")).await;
    let call = deposit("a", 5);
    let other = withdraw("a", 5).with_id(call.id());
    let answers = every_one(&service.client, [call.clone(), other, call]).await;
    assert!(
        answers[0].is_ok() || answers[1].as_ref().is_err_and(|r| r.reason != "REQUEST_ID_REUSED")
    );
    assert_eq!(log.judge().await.events.len(), 2);
}

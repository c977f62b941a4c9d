//! Atomic batches: all of their commands or none, once. Independent ones: each command as if it were alone.

use futures::future::join_all;
use ledger::ConsistencyToken;
use uuid::Uuid;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        an_atomic_batch_is_applied_whole,
        an_atomic_batch_with_a_refused_command_changes_nothing,
        a_refused_batch_leaves_its_neighbours_in_the_same_append_alone,
        an_atomic_batch_again_is_answered_as_before,
        the_id_of_an_atomic_batch_is_no_other_commands,
        an_atomic_batch_whose_answer_was_lost_is_applied_once,
        atomic_batches_of_two_instances_are_whole_and_lose_no_money,
        commands_of_an_independent_batch_are_refused_alone,
        an_independent_batch_keeps_the_order_of_each_account,
        an_independent_batch_keeps_the_order_behind_a_command_that_is_under_way_already,
    );
}

/// Opens `x` and `y`, and moves money between them and `a`.
fn several() -> Vec<Call> {
    vec![
        open("x"),
        deposit("x", 100),
        open_with_limit("y", 50),
        transfer("x", "y", 30),
        transfer("y", "a", 70),
        withdraw("x", 70),
        set_limit("y", 40),
        pay_bill("a", 5),
        freeze("x"),
    ]
}

async fn service_with_a(log: &Log) -> Service {
    let service = log.service().await;
    service.done(open("a")).await;
    service
}

async fn an_atomic_batch_is_applied_whole(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    let id = Uuid::now_v7();
    let (answers, token) = service.client.batch(atomic(id, &several())).await.unwrap();
    let balances: Vec<i64> = answers.iter().map(|done| done.as_ref().unwrap().balance()).collect();
    assert_eq!(balances, [0, 100, 0, 70, -40, 0, -40, 65, 0]);
    assert_eq!(answers[4].as_ref().unwrap().destination.as_ref().unwrap().account_id, "a");
    let found = log.judge().await;
    assert_eq!([found.balance("x"), found.balance("y"), found.balance("a")], [0, -40, 65]);
    let token: ConsistencyToken = token.parse().unwrap();
    for event in &found.events {
        assert!(token.positions.get(&event.shard).is_none_or(|at| *at >= event.position));
    }
    assert_eq!(found.batches.len(), 1);
    assert_eq!(found.batches[&id], 11);
    assert_eq!(service.done(deposit("a", 1)).await.balance(), 66);
}

async fn an_atomic_batch_with_a_refused_command_changes_nothing(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    let before = log.judge().await.events.len();
    let refused = |mut calls: Vec<Call>, wrong: Call| {
        calls.push(wrong);
        let batch = atomic(Uuid::now_v7(), &calls);
        let (index, client) = (calls.len() - 1, &service.client);
        async move {
            let refusal = client.batch(batch).await.unwrap_err();
            assert_eq!(refusal.reason, "BATCH_REFUSED", "{refusal:?}");
            assert_eq!(refusal.metadata["index"], index.to_string());
            assert_eq!(refusal.applied(), "false");
            refusal
        }
    };
    let refusal = refused(several(), withdraw("a", 66)).await;
    assert_eq!(refusal.code, tonic::Code::FailedPrecondition);
    assert_eq!(refusal.metadata["command_reason"], "INSUFFICIENT_FUNDS");
    assert_eq!(refusal.metadata["account_id"], "a");
    assert_eq!(refusal.metadata["available"], "65");
    let refusal = refused(several(), deposit("nobody", 1)).await;
    assert_eq!(refusal.metadata["command_reason"], "ACCOUNT_NOT_FOUND");
    let refusal = refused(several(), open("a")).await;
    assert_eq!(refusal.metadata["command_reason"], "ACCOUNT_ALREADY_EXISTS");
    let refusal = refused(several(), withdraw("x", 1)).await;
    assert_eq!(refusal.metadata["command_reason"], "ACCOUNT_FROZEN");
    assert_eq!(log.judge().await.events.len(), before);
    // What was opened in vain was not, and an id that was refused is free.
    let id = Uuid::now_v7();
    let overdrawn = [deposit("a", 1), withdraw("a", 2)];
    service.client.batch(atomic(id, &overdrawn)).await.unwrap_err();
    service.done(deposit("a", 1)).await;
    let (answers, _) = service.client.batch(atomic(id, &overdrawn)).await.unwrap();
    assert!(!answers[1].as_ref().unwrap().write.replayed);
    service.done(open("x")).await;
    log.judge().await;
}

async fn a_refused_batch_leaves_its_neighbours_in_the_same_append_alone(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service_with(&["--batches-under-way-max", "1"]).await;
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        service.done(open(name)).await;
    }
    let admin = log.admin().await;
    let held = admin.hold_appends().await;
    let first = service.send(deposit("a", 1));
    let together = async {
        admin.until_appends_wait(1).await;
        // All of these wait for the same place, and become one append.
        let singles = names.map(|name| service.client.send(deposit(name, 10)));
        let refused = names.map(|name| {
            let calls =
                [open(&format!("new-{name}")), transfer("b", name, 1), withdraw(name, 1_000)];
            let calls = if name == "b" { vec![withdraw("b", 1_000)] } else { calls.to_vec() };
            service.client.batch(atomic(Uuid::now_v7(), &calls))
        });
        let applied = service.client.batch(atomic(Uuid::now_v7(), &[open("g"), deposit("g", 7)]));
        let arrived = async {
            for _ in 0..3 {
                service.refused(deposit("a", 0)).await; // a round trip
            }
            drop(held);
        };
        tokio::join!(join_all(singles), join_all(refused), applied, arrived)
    };
    let (first, (singles, refused, applied, ())) = tokio::join!(first, together);
    assert!(first.is_ok() && singles.iter().all(Result::is_ok), "{singles:?}");
    assert!(refused.iter().all(|answer| answer.as_ref().unwrap_err().reason == "BATCH_REFUSED"));
    applied.unwrap();
    let found = log.judge().await;
    assert_eq!(names.map(|name| found.balance(name)), [11, 10, 10, 10, 10, 10]);
    assert_eq!(found.accounts.len(), names.len() + 1);
    assert_eq!(service.done(open("new-a")).await.version(), 1);
}

async fn an_atomic_batch_again_is_answered_as_before(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    let id = Uuid::now_v7();
    let batch = atomic(id, &several());
    let (first, first_token) = service.client.batch(batch.clone()).await.unwrap();
    service.done(deposit("y", 500)).await; // it has moved on since
    let events = log.judge().await.events.len();
    for service in [&service, &log.service().await] {
        let (again, token) = service.client.batch(batch.clone()).await.unwrap();
        assert_eq!(token, first_token);
        for (again, first) in again.into_iter().zip(&first) {
            let again = again.unwrap();
            assert!(again.write.replayed);
            assert_eq!(&again.like_first(), first.as_ref().unwrap());
        }
    }
    // At once: one is decided, and the other gets what it got.
    let batch = atomic(Uuid::now_v7(), &[deposit("a", 1), transfer("a", "y", 1)]);
    let both =
        join_all([&service, &service].map(|service| service.client.batch(batch.clone()))).await;
    let replayed =
        |answer: &BatchAnswer| answer.as_ref().unwrap().0[0].as_ref().unwrap().write.replayed;
    assert_eq!(both.iter().filter(|answer| replayed(answer)).count(), 1);
    assert_eq!(log.judge().await.events.len(), events + 3);
}

async fn the_id_of_an_atomic_batch_is_no_other_commands(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    let id = Uuid::now_v7();
    let calls = several();
    service.client.batch(atomic(id, &calls)).await.unwrap();
    let events = log.judge().await.events.len();
    let mut others = vec![calls[..8].to_vec(), [&calls[..], &[deposit("a", 1)]].concat()];
    others.push(calls.iter().rev().cloned().collect()); // also in another order
    let mut changed = calls.clone();
    changed[7] = pay_bill("a", 6);
    others.push(changed);
    for other in others {
        let refusal = service.client.batch(atomic(id, &other)).await.unwrap_err();
        assert_eq!(refusal.reason, "REQUEST_ID_REUSED", "{other:?}");
    }
    // `a` is the least of its accounts, and so the one that the id is kept with.
    assert_eq!(service.refused(calls[7].clone().with_id(id)).await.reason, "REQUEST_ID_REUSED");
    let single = deposit("a", 1);
    service.done(single.clone()).await;
    let refusal = service.client.batch(atomic(single.id(), &[single])).await.unwrap_err();
    assert_eq!(refusal.reason, "REQUEST_ID_REUSED");
    assert_eq!(log.judge().await.events.len(), events + 1);
}

async fn an_atomic_batch_whose_answer_was_lost_is_applied_once(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    for call in [open("a"), open("b"), deposit("a", 100)] {
        service.done(call).await;
    }
    for (round, fault) in [Fault::ReplyLost, Fault::CutBehind, Fault::NeverSent]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let new = format!("new-{round}");
        let calls = [transfer("a", "b", 1), open(&new), deposit(&new, 5), transfer(&new, "a", 2)];
        let batch = atomic(Uuid::now_v7(), &calls);
        proxy.lose_next(fault);
        let (first, _) = service.client.batch(batch.clone()).await.unwrap();
        assert_eq!(proxy.faults_reached(), round + 1);
        let (again, _) = service.client.batch(batch).await.unwrap();
        for (first, again) in first.into_iter().zip(again) {
            let (first, again) = (first.unwrap(), again.unwrap());
            assert!(!first.write.replayed && again.write.replayed, "{fault:?}");
            assert_eq!(again.like_first(), first);
        }
    }
    assert_eq!(log.judge().await.balance("a"), 100 - 6 + 12);
}

async fn atomic_batches_of_two_instances_are_whole_and_lose_no_money(shards: i16) {
    let log = Log::create(shards).await;
    let services = [log.service().await, log.service().await];
    let names: Vec<String> = (0..6).map(|number| format!("a{number}")).collect();
    for name in &names {
        services[0].done(open(name)).await;
        services[0].done(deposit(name, 20)).await;
    }
    let rings = (0..60).map(|round: usize| {
        let name = |step: usize| names[(round + step) % names.len()].as_str();
        let amount = i64::try_from(round % 15).unwrap() + 1;
        let calls = [
            transfer(name(0), name(1), amount),
            transfer(name(2), name(3), amount),
            transfer(name(1), name(4), amount),
            deposit(name(5), 1),
        ];
        let (id, client) = (Uuid::now_v7(), &services[round % 2].client);
        async move { (id, client.batch(atomic(id, &calls)).await) }
    });
    let answers = within("answers", join_all(rings)).await;
    let found = log.judge().await;
    let mut applied = 0;
    for (id, answer) in answers {
        match answer {
            Ok(_) => assert_eq!(found.batches.get(&id), Some(&7)),
            Err(refusal) => {
                assert_eq!(refusal.metadata["command_reason"], "INSUFFICIENT_FUNDS");
                assert_eq!(found.batches.get(&id), None);
            }
        }
        applied += i64::from(found.batches.contains_key(&id));
    }
    assert!(applied > 0);
    let money: i64 = names.iter().map(|name| found.balance(name)).sum();
    assert_eq!(money, 120 + applied);
}

async fn commands_of_an_independent_batch_are_refused_alone(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    let calls = [
        deposit("a", 10),
        withdraw("a", 11),
        deposit("a", 0),
        deposit("nobody", 1),
        open("a"),
        withdraw("a", 10),
    ];
    let (first, token) = service.client.batch(independent(&calls)).await.unwrap();
    let outcomes: Vec<&str> = first
        .iter()
        .map(|answer| answer.as_ref().map_or_else(|refusal| &*refusal.reason, |_| "OK"))
        .collect();
    assert_eq!(
        outcomes,
        [
            "OK",
            "INSUFFICIENT_FUNDS",
            "AMOUNT_NOT_POSITIVE",
            "ACCOUNT_NOT_FOUND",
            "ACCOUNT_ALREADY_EXISTS",
            "OK"
        ]
    );
    let token: ConsistencyToken = token.parse().unwrap();
    let last = first[5].as_ref().unwrap();
    assert_eq!(token.positions.values().next().unwrap().get(), last.position());
    // As if each had been called by itself, also when it comes again.
    let (again, _) = service.client.batch(independent(&calls)).await.unwrap();
    for (again, first) in again.into_iter().zip(first) {
        match (again, first) {
            (Ok(again), Ok(first)) => {
                assert!(again.write.replayed);
                assert_eq!(again.like_first(), first);
            }
            (Err(again), Err(first)) => assert_eq!(again.like_first(), first),
            differ => panic!("{differ:?}"),
        }
    }
    let alone = service.send(calls[1].clone()).await.unwrap_err();
    assert!(alone.is_replayed());
    assert_eq!(log.judge().await.events.len(), 4);
}

async fn an_independent_batch_keeps_the_order_of_each_account(shards: i16) {
    let log = Log::create(shards).await;
    let service = service_with_a(&log).await;
    for round in 0..20 {
        // Not in the memory of the service that gets the batch: a command that needs it has to wait.
        let cold = format!("cold-{round}");
        service.done(open(&cold)).await;
        service.done(deposit(&cold, 10)).await;
        let old = deposit("a", 1);
        let other = log.service().await;
        other.done(old.clone()).await;
        let calls = [
            transfer(&cold, "a", 10),
            old, // from here on, ids are looked up
            withdraw("a", 11),
            open(&format!("new-{round}")),
            deposit(&format!("new-{round}"), 5),
            withdraw(&format!("new-{round}"), 5),
            transfer("a", "nobody", 1),
            deposit("a", 3),
            withdraw("a", 3),
        ];
        let (answers, _) = other.client.batch(independent(&calls)).await.unwrap();
        for (index, answer) in answers.iter().enumerate() {
            let refused = answer.as_ref().err().map(|refusal| refusal.reason.as_str());
            assert_eq!(refused, (index == 6).then_some("ACCOUNT_NOT_FOUND"), "{index}: {answer:?}");
        }
    }
    assert_eq!(log.judge().await.balance("a"), 0);
}

async fn an_independent_batch_keeps_the_order_behind_a_command_that_is_under_way_already(
    shards: i16,
) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    let other = log.service().await;
    for call in [open("cold"), deposit("cold", 10)] {
        other.done(call).await;
    }
    service.done(open("a")).await;
    proxy.keep_reads();
    let bringing = transfer("cold", "a", 10);
    let calls = [bringing.clone(), withdraw("a", 10)];
    let again = async {
        proxy.until_kept(1).await; // the first is being loaded for
        let arrived = async {
            for _ in 0..3 {
                service.refused(deposit("a", 0)).await; // a round trip
            }
            proxy.give_reads();
        };
        tokio::join!(service.client.batch(independent(&calls)), arrived).0
    };
    let (first, again) = tokio::join!(service.send(bringing), again);
    let (answers, _) = again.unwrap();
    assert!(answers[0].as_ref().unwrap().write.replayed);
    assert_eq!(answers[0].as_ref().unwrap().position(), first.unwrap().position());
    assert_eq!(answers[1].as_ref().unwrap().balance(), 0, "{answers:?}");
    log.judge().await;
}

#[tokio::test]
async fn a_batch_that_is_no_batch_is_refused_whole() {
    let log = Log::create(1).await;
    let service = service_with_a(&log).await;
    let good = || vec![deposit("a", 1), deposit("a", 2)];
    let id = Uuid::now_v7();
    let mut no_mode = independent(&good());
    no_mode.mode = 0;
    let mut unknown_mode = independent(&good());
    unknown_mode.mode = 9;
    let mut with_id = independent(&good());
    with_id.request_id = id.to_string();
    let mut own_id = atomic(id, &good());
    own_id.commands[1] = command(deposit("a", 1));
    let mut no_kind = atomic(id, &good());
    no_kind.commands[0].kind = None;
    let mut no_id = atomic(id, &good());
    no_id.request_id.clear();
    let twice = deposit("a", 1);
    let too_many = vec![deposit("a", 1); 1_001];
    let rows = [
        (Default::default(), "FIELD_REQUIRED", vec!["mode", "commands"]),
        (no_mode, "ENUM_UNKNOWN", vec!["mode"]),
        (unknown_mode, "ENUM_UNKNOWN", vec!["mode"]),
        (independent(&[]), "BATCH_EMPTY", vec!["commands"]),
        (atomic(id, &[]), "BATCH_EMPTY", vec!["commands"]),
        (atomic(id, &too_many), "BATCH_TOO_LARGE", vec!["commands"]),
        (with_id, "REQUEST_ID_UNEXPECTED", vec!["request_id"]),
        (own_id, "REQUEST_ID_UNEXPECTED", vec!["commands[1].deposit.request_id"]),
        (no_kind, "COMMAND_MISSING", vec!["commands[0]"]),
        (no_id, "REQUEST_ID_REQUIRED", vec!["request_id"]),
        (
            independent(&[twice.clone(), deposit("a", 2), twice]),
            "REQUEST_ID_DUPLICATE",
            vec!["commands[2].request_id"],
        ),
        (
            atomic(id, &[deposit("a", 0), transfer("a", "a", 1), withdraw("?", 1)]),
            "AMOUNT_NOT_POSITIVE",
            vec![
                "commands[0].deposit.amount.minor_units",
                "commands[1].transfer.destination_account_id",
                "commands[2].withdraw.account_id",
            ],
        ),
    ];
    for (batch, reason, fields) in rows {
        let refusal = service.client.batch(batch).await.unwrap_err();
        assert_eq!((refusal.code, &*refusal.reason), (tonic::Code::InvalidArgument, reason));
        let violated: Vec<&str> = refusal.violations.iter().map(|(field, _)| &**field).collect();
        assert_eq!(violated, fields, "{reason}");
        assert_eq!(refusal.applied(), "false");
    }
    assert_eq!(log.judge().await.events.len(), 1);
    let small = log.service_with(&["--queue-commands-max", "1"]).await;
    let refusal = small.client.batch(independent(&good())).await.unwrap_err();
    assert_eq!(refusal.reason, "BATCH_TOO_LARGE");
}

#[tokio::test]
async fn a_batch_of_a_thousand_commands_is_applied_and_found_again() {
    let log = Log::create(4).await;
    let service = service_with_a(&log).await;
    let calls: Vec<Call> = (0..500)
        .flat_map(|number| {
            let name = format!("account-{number}");
            [open_with_limit(&name, 1), transfer(&name, "a", 1)]
        })
        .collect();
    let batch = atomic(Uuid::now_v7(), &calls);
    let (first, _) = within("an answer", service.client.batch(batch.clone())).await.unwrap();
    assert_eq!(first.len(), 1_000);
    let (again, _) = within("an answer", log.service().await.client.batch(batch)).await.unwrap();
    assert!(again.iter().all(|answer| answer.as_ref().unwrap().write.replayed));
    assert_eq!(log.judge().await.balance("a"), 500);
}

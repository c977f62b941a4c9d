//! Several instances write one log. None believes its memory.

use futures::future::join_all;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        two_instances_under_load_keep_every_limit_and_lose_nothing,
        an_instance_decides_on_what_another_has_just_written,
        an_instance_that_saw_nobody_for_long_does_not_answer_from_memory,
        a_cold_load_that_races_another_instance_is_not_believed,
        an_instance_beside_a_busy_one_still_answers_what_is_not_kept,
        an_instance_beside_a_busy_one_still_loads_accounts,
        an_instance_left_far_behind_drops_what_it_remembers,
        an_instance_left_far_behind_notices_another_history,
    );
}

async fn two_instances_under_load_keep_every_limit_and_lose_nothing(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    let history = History::default();
    let names = opened_accounts(&one, 6, &history).await;
    tokio::join!(
        retried(&one.client, mixed_calls(&names, 500), 60, &history),
        retried(&other.client, mixed_calls(&names, 500), 60, &history),
    );
    assert!(history.count("OK") > 300 && history.count("INSUFFICIENT_FUNDS") > 30);
    history.agrees_with(&log.judge().await);
    one.stop().await;
    other.stop().await;
}

/// Each answer here would be wrong on memory that is one command old.
async fn an_instance_decides_on_what_another_has_just_written(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    for round in 0..8 {
        let name = format!("account-{round}");
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        assert_eq!(reader.refused(deposit(&name, 1)).await.reason, "ACCOUNT_NOT_FOUND");
        writer.done(open(&name)).await;
        if round % 4 >= 2 {
            assert_eq!(reader.refused(open(&name)).await.reason, "ACCOUNT_ALREADY_EXISTS");
        }
        assert_eq!(reader.done(deposit(&name, 10)).await.balance(), 10);
        writer.done(deposit(&name, 5)).await;
        assert_eq!(reader.done(withdraw(&name, 15).expecting(3)).await.balance(), 0);
        assert_eq!(writer.refused(withdraw(&name, 1)).await.reason, "INSUFFICIENT_FUNDS");
        let late = reader.refused(deposit(&name, 1).expecting(3)).await;
        assert_eq!(late.metadata["current_version"], "4");
        writer.done(freeze(&name)).await;
        assert_eq!(reader.refused(withdraw(&name, 1)).await.reason, "ACCOUNT_FROZEN");
        reader.done(unfreeze(&name)).await;
        writer.done(close(&name)).await;
        assert_eq!(reader.refused(deposit(&name, 1)).await.reason, "ACCOUNT_CLOSED");
    }
    log.judge().await;
}

/// An instance that was in a race a moment ago looks at the log before everything. One that has just started does not.
async fn an_instance_that_saw_nobody_for_long_does_not_answer_from_memory(shards: i16) {
    let log = Log::create(shards).await;
    let writer = log.service().await;
    writer.done(open("rich")).await;
    writer.done(deposit("rich", 100)).await;
    let calls: [fn(&str) -> Call; 3] =
        [|new| deposit(new, 1), |new| transfer("rich", new, 1), |new| freeze(new)];
    for (number, call) in calls.into_iter().enumerate() {
        let alone = log.service().await;
        let name = format!("new-{number}");
        assert_eq!(alone.refused(call(&name)).await.reason, "ACCOUNT_NOT_FOUND");
        writer.done(open(&name)).await;
        alone.done(call(&name)).await;
    }
    let alone = log.service().await;
    alone.refused(deposit("rich", 1).expecting(1)).await;
    let there = writer.done(deposit("rich", 1)).await.version();
    let conflict = alone.refused(deposit("rich", 1).expecting(1)).await;
    assert_eq!(conflict.metadata["current_version"], there.to_string());
    log.judge().await;
}

/// Instances that have just started load accounts that another one writes at the same moment.
async fn a_cold_load_that_races_another_instance_is_not_believed(shards: i16) {
    let log = Log::create(shards).await;
    let busy = log.service().await;
    let history = History::default();
    let names = opened_accounts(&busy, 4, &history).await;
    let writing = async {
        for _ in 0..120 {
            let calls = names.iter().map(|name| deposit(name, 3)).collect();
            retried(&busy.client, calls, 4, &history).await;
        }
    };
    let starting = async {
        for _ in 0..8 {
            let cold = log.service().await;
            let calls = names.iter().flat_map(|name| [withdraw(name, 1), withdraw(name, 100_000)]);
            retried(&cold.client, calls.collect(), 8, &history).await;
            cold.stop().await;
        }
    };
    tokio::join!(writing, starting);
    let found = log.judge().await;
    history.agrees_with(&found);
    assert_eq!(history.count("INSUFFICIENT_FUNDS"), 8 * 4);
    assert!(names.iter().all(|name| found.balance(name) == 120 * 3 - 8));
}

/// What is not kept in the log is answered after a look at it, and the log never stands still.
async fn an_instance_beside_a_busy_one_still_answers_what_is_not_kept(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    let history = History::default();
    let names = opened_accounts(&one, 8, &history).await;
    let asking = async {
        for _ in 0..5 {
            let missing = one.refused(deposit("nobody", 1)).await;
            assert_eq!(missing.reason, "ACCOUNT_NOT_FOUND");
            let twice = other.refused(open(&names[0])).await;
            assert_eq!(twice.reason, "ACCOUNT_ALREADY_EXISTS");
        }
    };
    beside_load([&one, &other], &names, asking).await;
}

async fn an_instance_beside_a_busy_one_still_loads_accounts(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    let names = opened_accounts(&one, 8, &History::default()).await;
    let cold: Vec<String> = (0..8).map(|number| format!("cold-{number}")).collect();
    join_all(cold.iter().map(|name| one.done(open(name)))).await;
    one.stop().await;
    let one = log.service().await;
    let asking = async {
        for name in &cold {
            assert_eq!(one.done(deposit(name, 1)).await.version(), 2);
        }
    };
    beside_load([&one, &other], &names, asking).await;
}

/// Does something while both instances have work without end.
async fn beside_load(services: [&Service; 2], names: &[String], something: impl Future) {
    let history = History::default();
    let [load, more] = services.map(|service| async {
        loop {
            retried(&service.client, mixed_calls(names, 40), 20, &history).await;
        }
    });
    tokio::select! {
        _ = something => {}
        () = async { tokio::join!(load, more); } => {}
    }
    assert!(history.count("OK") > 0);
}

async fn an_instance_left_far_behind_drops_what_it_remembers(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    one.done(open("a")).await;
    assert_eq!(one.refused(deposit("b", 1)).await.reason, "ACCOUNT_NOT_FOUND");
    let grown = log.grow("a", 8).await;
    assert_eq!(
        one.refused(withdraw("a", grown + 1)).await.metadata["available"],
        grown.to_string()
    );
    other.done(open("b")).await;
    log.grow("a", 8).await;
    other.done(deposit("b", 1)).await;
    assert_eq!(one.done(deposit("b", 1)).await.balance(), 2);
    assert_eq!(one.done(withdraw("a", 2 * grown)).await.balance(), 0);
    log.judge().await;
}

async fn an_instance_left_far_behind_notices_another_history(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    service.done(open("a")).await;
    service.done(deposit("a", 1)).await;
    log.grow("a", 8).await;
    let forge = "UPDATE counterfoil.batches SET digest = sha256('') WHERE last_position = 2";
    log.admin().await.tamper(forge).await;
    assert_eq!(service.refused(deposit("a", 1)).await.reason, "LEDGER_CORRUPT");
}

//! Answers that are lost on the way: nobody is told what is not known, and what is not known is found out.

use std::{cell::Cell, time::Duration};

use dev_servers::Postgres;
use futures::future::join_all;
use tonic::Code;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        an_append_whose_answer_was_lost_is_found_and_answered,
        what_another_instance_decided_is_said_to_be_repeated_also_by_one_whose_answer_was_lost,
        answers_lost_again_and_again_under_load_lose_and_double_nothing,
        an_append_connection_killed_again_and_again_loses_and_doubles_nothing,
        every_connection_killed_again_and_again_loses_and_doubles_nothing,
        what_cannot_be_found_out_in_time_is_unknown_and_a_retry_tells,
        a_twin_of_an_unknown_outcome_is_unknown_too,
    );
}

const FAULTS: [Fault; 3] = [Fault::ReplyLost, Fault::CutBehind, Fault::NeverSent];

async fn an_append_whose_answer_was_lost_is_found_and_answered(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    for call in [open("a"), open("b"), deposit("a", 100)] {
        service.done(call).await;
    }
    for (round, fault) in FAULTS.into_iter().cycle().take(9).enumerate() {
        let call = match round % 3 {
            0 => deposit("a", 1),
            1 => transfer("a", "b", 1),
            _ => withdraw("a", 1_000),
        };
        proxy.lose_next(fault);
        let first = service.send(call.clone()).await;
        assert_eq!(proxy.faults_reached(), 3 * round + 1);
        let again = service.send(call.clone()).await;
        match (first, again) {
            (Ok(first), Ok(again)) => {
                assert!(!first.write.replayed && again.write.replayed);
                assert_eq!(again.like_first(), first);
            }
            (Err(first), Err(again)) => {
                assert_eq!(first.reason, "INSUFFICIENT_FUNDS", "{fault:?}");
                assert!(!first.is_replayed() && again.is_replayed());
                assert_eq!(again.like_first(), first);
            }
            differ => panic!("{call:?} after {fault:?}: {differ:?}"),
        }
        let open_anew = format!("new-{round}");
        proxy.lose_next(fault);
        service.done(open(&open_anew)).await;
        assert_eq!(service.done(deposit(&open_anew, 1)).await.version(), 2);
        proxy.lose_next(fault);
        service.done(deposit(&open_anew, 1)).await;
    }
    log.judge().await;
}

async fn what_another_instance_decided_is_said_to_be_repeated_also_by_one_whose_answer_was_lost(
    shards: i16,
) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let (service, other) = (Service::start(&proxy.url, &[]).await, log.service().await);
    let (source, destination) = (open("a"), open("b"));
    for call in [source, destination, deposit("a", 100)] {
        service.done(call).await;
    }
    let calls = [deposit("a", 1), transfer("a", "b", 1)];
    for (call, fault) in calls.into_iter().zip([Fault::ReplyLost, Fault::CutBehind]) {
        // It does not know yet that the id is taken, and is not told by the database.
        let first = other.done(call.clone()).await;
        proxy.lose_next(fault);
        let again = service.done(call).await;
        assert!(!first.write.replayed && again.write.replayed, "{fault:?}");
        assert_eq!(again.like_first(), first);
    }
    log.judge().await;
}

async fn answers_lost_again_and_again_under_load_lose_and_double_nothing(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let (service, other) = (Service::start(&proxy.url, &[]).await, log.service().await);
    let history = History::default();
    let names = opened_accounts(&service, 8, &history).await;
    let losing = async {
        for (round, fault) in FAULTS.into_iter().cycle().take(18).enumerate() {
            let reached = proxy.faults_reached();
            proxy.lose_next(fault);
            let calls = mixed_calls(&names, 25);
            retried(&service.client, calls, 25, &history).await;
            assert_eq!(proxy.faults_reached(), reached + 1, "round {round}");
        }
    };
    let writing = retried(&other.client, mixed_calls(&names, 150), 5, &history);
    tokio::join!(losing, writing);
    check(&history, &log).await;
}

async fn an_append_connection_killed_again_and_again_loses_and_doubles_nothing(shards: i16) {
    kill_connections("counterfoil-append/", shards).await;
}

async fn every_connection_killed_again_and_again_loses_and_doubles_nothing(shards: i16) {
    kill_connections("counterfoil-", shards).await;
}

async fn kill_connections(name: &str, shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    let history = History::default();
    let names = opened_accounts(&one, 8, &history).await;
    let admin = log.admin().await;
    let working = async {
        tokio::join!(
            retried(&one.client, mixed_calls(&names, 500), 40, &history),
            retried(&other.client, mixed_calls(&names, 500), 40, &history),
        );
    };
    let killing = async {
        let mut killed = 0;
        loop {
            // Each time after something new has been written.
            let events = admin.count_events().await;
            until("work goes on", async || admin.count_events().await > events + 20).await;
            killed += admin.cut(name).await;
            if killed >= 12 {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = working => {}
        () = killing => {}
    }
    assert!(history.count("OK") > 300);
    check(&history, &log).await;
    one.until_serving(true).await;
    other.until_serving(true).await;
    one.stop().await;
    other.stop().await;
}

async fn check(history: &History, log: &Log) {
    history.agrees_with(&log.judge().await);
}

async fn what_cannot_be_found_out_in_time_is_unknown_and_a_retry_tells(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &["--resolve-within-ms", "300"]).await;
    service.done(open("a")).await;
    for (fault, applied) in [(Fault::ReplyLost, true), (Fault::NeverSent, false)] {
        let call = deposit("a", 5);
        proxy.refuse_connections(true);
        proxy.lose_next(fault);
        let unknown = service.refused(call.clone()).await;
        assert_eq!((unknown.code, unknown.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"));
        assert_eq!(unknown.applied(), "unknown");
        assert!(unknown.retry_after.is_some());
        let meanwhile = deposit("a", 1);
        assert_eq!(service.refused(meanwhile.clone()).await.reason, "LEDGER_UNAVAILABLE");
        proxy.refuse_connections(false);
        service.until_serving(true).await;
        assert_eq!(service.done(call).await.write.replayed, applied);
        assert!(!service.done(meanwhile).await.write.replayed);
    }
    assert_eq!(log.judge().await.balance("a"), 12);
}

async fn a_twin_of_an_unknown_outcome_is_unknown_too(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &["--resolve-within-ms", "500"]).await;
    service.done(open("a")).await;
    proxy.refuse_connections(true);
    proxy.lose_next(Fault::ReplyLost);
    let call = deposit("a", 5);
    let later = async {
        until("the answer is lost", async || proxy.faults_reached() == 1).await;
        service.send(call.clone()).await
    };
    let (first, twin) = tokio::join!(service.send(call.clone()), later);
    assert_eq!(first.unwrap_err().reason, "OUTCOME_UNKNOWN");
    assert_eq!(twin.unwrap_err().reason, "OUTCOME_UNKNOWN");
    proxy.refuse_connections(false);
    service.until_serving(true).await;
    // Nobody holds the id any more.
    assert!(service.done(call).await.write.replayed);
    log.judge().await;
}

/// Appends that their caller has given up wait in the server for a lock, and would go on when they get it.
#[tokio::test]
async fn an_append_that_was_given_up_never_happens_afterwards() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    service.done(open("a")).await;
    let admin = log.admin().await;
    let held = admin.hold_appends().await;
    let call = deposit("a", 5);
    let losing = async {
        loop {
            let reached = proxy.faults_reached();
            proxy.lose_next(Fault::CutBehind);
            until("it is lost again", async || proxy.faults_reached() > reached).await;
        }
    };
    let refusal = tokio::select! {
        refusal = service.refused(call.clone()) => refusal,
        () = losing => unreachable!("it is lost again and again"),
    };
    assert_eq!((refusal.reason.as_str(), refusal.applied()), ("LEDGER_UNAVAILABLE", "false"));
    drop(held);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'counterfoil-append/')
                   AND datname = current_database() AND state = 'active'";
    until("nothing runs", async || admin.number(running).await == 0).await;
    assert!(log.judge().await.event_of(&call).is_none(), "it was said that it is not applied");
}

/// The server has the first half of an append, and holds the head of the log for it.
#[tokio::test]
async fn an_append_that_arrives_by_half_holds_nobody_up_for_long() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    let (slow, other) = (Service::start(&proxy.url, &[]).await, log.service().await);
    slow.done(open("a")).await;
    proxy.lose_next(Fault::HalfSent);
    let behind = async {
        until("half of it has arrived", async || proxy.faults_reached() == 1).await;
        other.done(deposit("a", 10)).await
    };
    let (first, second) = tokio::join!(slow.done(deposit("a", 1)), behind);
    assert_eq!(second.balance(), 10, "the first was ended, and made anew");
    assert_eq!(first.balance(), 11);
    log.judge().await;
}

/// A log with one shard and one with four, because a server takes seconds to come back.
#[tokio::test]
async fn a_database_killed_under_load_loses_and_doubles_nothing() {
    let postgres = Postgres::start_private().await.unwrap();
    let (whole, cut) = tokio::join!(
        Log::create_at(postgres.create_database().await.unwrap(), 1),
        Log::create_at(postgres.create_database().await.unwrap(), 4),
    );
    let (history, other) = (History::default(), History::default());
    let killed = Cell::new(false);
    let killing = async {
        until("work goes on", async || history.count("OK") > 150).await;
        postgres.kill().await.unwrap();
        let in_vain =
            async || history.count("LEDGER_UNAVAILABLE") + other.count("LEDGER_UNAVAILABLE") > 0;
        until("somebody asks in vain", in_vain).await;
        postgres.restart().await.unwrap();
        killed.set(true);
    };
    tokio::join!(work_until(&killed, &whole, &history), work_until(&killed, &cut, &other), killing);
}

/// Two services work on until the server has been killed and is back, and then a little more.
async fn work_until(killed: &Cell<bool>, log: &Log, history: &History) {
    let services = [log.service().await, log.service().await];
    let names = opened_accounts(&services[0], 8, history).await;
    let work = services.each_ref().map(|service| async {
        while !killed.get() {
            retried(&service.client, mixed_calls(&names, 60), 30, history).await;
        }
        retried(&service.client, mixed_calls(&names, 20), 20, history).await;
    });
    join_all(work).await;
    history.agrees_with(&log.judge().await);
    for service in services {
        service.until_serving(true).await;
        service.stop().await;
    }
}

/// Lets commits end, and sends a deposit of 5 on an empty account again.
async fn found_when_no_standby_is_needed(log: &Log, admin: &Admin, service: &Service, call: Call) {
    admin.need_no_standby().await;
    service.until_serving(true).await;
    assert!(service.done(call).await.write.replayed);
    assert_eq!(log.judge().await.balance("a"), 5);
}

/// A commit that waits for its standby becomes visible when the process that waits is ended, and the standby may not have it.
#[tokio::test]
async fn what_no_standby_has_is_not_acknowledged_because_it_is_found() {
    let postgres = Postgres::start_private().await.unwrap();
    let log = Log::create_at(postgres.create_database().await.unwrap(), 1).await;
    let (admin, service) =
        tokio::join!(log.admin(), log.service_with(&["--resolve-within-ms", "300"]));
    service.done(open("a")).await;
    admin.miss_standby().await;
    let call = deposit("a", 5);
    let cut = async {
        admin.until_an_append_misses_the_standby().await;
        admin.cut("counterfoil-append").await;
    };
    let (unknown, ()) = tokio::join!(service.refused(call.clone()), cut);
    assert_eq!((unknown.reason.as_str(), unknown.applied()), ("OUTCOME_UNKNOWN", "unknown"));
    found_when_no_standby_is_needed(&log, &admin, &service, call).await;
}

/// What can be read may have been projected before a failover takes it back.
#[tokio::test]
async fn what_no_standby_has_is_not_shown_because_its_writer_was_killed() {
    let postgres = Postgres::start_private().await.unwrap();
    let log = Log::create_at(postgres.create_database().await.unwrap(), 1).await;
    let named = ["--instance", "killed"];
    let (admin, service) = tokio::join!(log.admin(), log.service_with(&named));
    service.done(open("a")).await;
    admin.run("ALTER SYSTEM SET track_activities = off").await; // then nobody is said to be active
    admin.miss_standby().await;
    let (client, call) = (service.client.clone(), deposit("a", 5));
    let lost = client.send(call.clone());
    let killed = async {
        admin.until_an_append_misses_the_standby().await;
        drop(service);
    };
    let (lost, ()) = tokio::join!(lost, killed);
    assert!(lost.is_err(), "{lost:?}");
    let service = log.service_with(&named).await;
    let health = tokio::time::timeout(Duration::from_secs(2), service.until_serving(true)).await;
    assert!(health.is_err(), "nothing it acknowledged would be where commits are to be");
    admin.until_an_append_misses_the_standby().await;
    assert_eq!(admin.number("SELECT count(*) FROM counterfoil.events").await, 1);
    found_when_no_standby_is_needed(&log, &admin, &service, call).await;
}

/// Something between us and the server may say things twice.
#[tokio::test]
async fn the_answer_to_another_append_acknowledges_nothing() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    service.done(open("a")).await;
    for round in 1..=3 {
        proxy.lose_next(Fault::AnsweredAsTheLast);
        let done = service.done(deposit("a", 5)).await;
        assert_eq!(proxy.faults_reached(), round);
        assert!(!done.write.replayed);
    }
    assert_eq!(log.judge().await.balance("a"), 15);
}

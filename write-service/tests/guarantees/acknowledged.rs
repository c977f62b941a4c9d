//! A command that was answered with OK is in the log: once, whole, and where the answer says.

use proto::types::{AccountStatus, Direction, TransactionType};

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        an_acknowledged_command_is_in_the_log_once_at_the_position_answered,
        a_transfer_is_in_both_accounts_or_in_neither,
        one_bad_command_does_not_spoil_its_neighbours,
        a_batch_that_fails_is_undone_and_decided_anew,
        nothing_that_is_in_the_log_is_ever_changed,
        every_answer_carries_the_account_as_it_stands_after_the_command,
    );
}

async fn an_acknowledged_command_is_in_the_log_once_at_the_position_answered(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 12, &history).await;
    let answers = retried(&service.client, mixed_calls(&names, 600), 600, &history).await;
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() > 300);
    assert!(history.count("INSUFFICIENT_FUNDS") > 10);
    history.agrees_with(&log.judge().await);
    service.stop().await;
}

async fn a_transfer_is_in_both_accounts_or_in_neither(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 6, &history).await;
    retried(&service.client, vec![deposit(&names[0], 100)], 1, &history).await;
    let circle = |number: usize| transfer(&names[number % 6], &names[(number + 1) % 6], 40);
    let calls = (0..300).map(circle).collect();
    retried(&service.client, calls, 300, &history).await;
    assert!(history.count("INSUFFICIENT_FUNDS") > 0 && history.count("OK") > 10);
    let found = log.judge().await; // compares the two sides of each
    history.agrees_with(&found);
    assert_eq!(names.iter().map(|name| found.balance(name)).sum::<i64>(), 100);
}

async fn one_bad_command_does_not_spoil_its_neighbours(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service_with(&["--batches-under-way-max", "1"]).await;
    let admin = log.admin().await;
    let old = deposit("good", 1);
    for call in [open("good"), open("poor"), old.clone()] {
        service.done(call).await;
    }
    let held = admin.hold_appends().await;
    let first = service.send(deposit("good", 1)); // the others are queued behind it, and become one batch
    let others = async {
        admin.until_appends_wait(1).await;
        let sent = async {
            let mut calls = Vec::new();
            for number in 0..20 {
                calls.push(deposit("good", 1));
                calls.push(match number % 5 {
                    0 => withdraw("poor", 1),
                    1 => deposit("nobody", 1),
                    2 => open("good"),
                    3 => deposit("good", 0),
                    _ => deposit("good", 2).with_id(old.id()),
                });
            }
            every_one(&service.client, calls).await
        };
        let release = async {
            admin.until_appends_wait(1).await;
            drop(held);
        };
        tokio::join!(sent, release).0
    };
    let (first, answers) = tokio::join!(first, others);
    first.unwrap();
    let refused = [
        "INSUFFICIENT_FUNDS",
        "ACCOUNT_NOT_FOUND",
        "ACCOUNT_ALREADY_EXISTS",
        "AMOUNT_NOT_POSITIVE",
        "REQUEST_ID_REUSED",
    ];
    for (number, pair) in answers.chunks(2).enumerate() {
        assert!(pair[0].is_ok(), "{:?}", pair[0]);
        assert_eq!(pair[1].as_ref().unwrap_err().reason, refused[number % 5]);
    }
    assert_eq!(log.judge().await.balance("good"), 22);
}

/// What was decided on a batch that another instance's batch pushed aside must not be believed.
async fn a_batch_that_fails_is_undone_and_decided_anew(shards: i16) {
    let log = Log::create(shards).await;
    let (one, other) = (log.service().await, log.service().await);
    let history = History::default();
    for round in 0..15 {
        let (a, b) = (format!("a-{round}"), format!("b-{round}"));
        for call in [open(&a), open(&b), deposit(&a, 100)] {
            one.done(call).await;
        }
        other.done(transfer(&a, &b, 1)).await; // now both know both accounts
        // Sent at once, one of the two fails whole: what it had decided must leave no trace.
        let calls = |amount| (0..6).map(|_| transfer(&a, &b, amount)).collect::<Vec<_>>();
        tokio::join!(
            retried(&one.client, calls(20), 6, &history),
            retried(&other.client, calls(25), 6, &history),
        );
    }
    let found = log.judge().await;
    for round in 0..15 {
        assert!(found.balance(&format!("a-{round}")) < 20, "all that could go has gone");
    }
}

/// Rows that were changed or removed leave holes where they stood. A transaction that looks back keeps them from being
/// filled again.
async fn nothing_that_is_in_the_log_is_ever_changed(shards: i16) {
    let log = Log::create(shards).await;
    let (admin, idle) = (log.admin().await, log.admin().await);
    idle.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM counterfoil.events")
        .await;
    let service = log.service().await;
    let history = History::default();
    let names = opened_accounts(&service, 8, &history).await;
    retried(&service.client, mixed_calls(&names, 300), 20, &history).await;
    for table in ["events", "batches", "incarnations"] {
        let changed = format!(
            "SELECT count(*) FROM counterfoil.{table} WHERE xmax <> 0
             UNION ALL
             SELECT coalesce(sum(places - tuples), 0)::bigint FROM (
                 SELECT count(*) AS tuples, max((ctid::text::point)[1]::bigint) AS places
                 FROM counterfoil.{table} GROUP BY (ctid::text::point)[0]) pages"
        );
        let sum = format!("SELECT sum(count)::bigint FROM ({changed}) s");
        assert_eq!(admin.number(&sum).await, 0, "{table} has dead rows");
    }
}

async fn every_answer_carries_the_account_as_it_stands_after_the_command(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let opened = service.done(open_with_limit("a", 50)).await;
    assert_eq!((opened.version(), opened.balance()), (1, 0));
    assert_eq!(
        (opened.account.overdraft_limit, opened.account.status()),
        (50, AccountStatus::Open)
    );
    assert_eq!(opened.account.owner_id, "owner-1");
    assert_eq!(opened.account.labels["branch"], "7");
    assert_eq!(opened.account.open_time, opened.write.commit_time);
    service.done(open("b")).await;

    let paid = service.done(deposit("a", 100).referring_to("wages")).await;
    let line = paid.transaction.clone().unwrap();
    assert_eq!((paid.version(), paid.balance()), (2, 100));
    assert_eq!((line.r#type(), line.direction()), (TransactionType::Deposit, Direction::Credit));
    assert_eq!((line.reference.as_str(), line.counterparty.as_str()), ("wages", "somebody"));
    assert_eq!(line.commit_time, paid.write.commit_time);
    assert_eq!(paid.account.open_time, opened.write.commit_time);
    assert_eq!(paid.account.update_time, paid.write.commit_time);

    let bill = service.done(pay_bill("a", 30)).await;
    assert_eq!(bill.transaction.unwrap().counterparty, "landlord");
    assert_eq!(service.done(withdraw("a", 20)).await.balance(), 50);
    let moved = service.done(transfer("a", "b", 100)).await;
    assert_eq!((moved.balance(), moved.version()), (-50, 5));
    assert_eq!(moved.destination.unwrap().balance.unwrap().minor_units, 100);
    assert_eq!(moved.transaction.unwrap().counterparty, "b");
    assert_eq!(service.done(deposit("a", 50)).await.balance(), 0);
    assert_eq!(service.done(set_limit("a", 0)).await.account.overdraft_limit, 0);
    assert_eq!(service.done(freeze("a")).await.account.status(), AccountStatus::Frozen);
    assert_eq!(service.done(unfreeze("a")).await.account.status(), AccountStatus::Open);
    let closed = service.done(close("a")).await;
    assert_eq!((closed.account.status(), closed.version()), (AccountStatus::Closed, 10));
    let found = log.judge().await;
    assert_eq!((found.version("a"), found.version("b")), (10, 2));
}

//! The log against a real Postgres: each test is a sentence about it.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

mod append_only;
mod logins;
mod structure;
mod support;
mod tls;

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use event_store::{
    AppendError, Appender, Bell, Control, Error, Head, LogCopy, LogReader, StoredOutcome,
    WriterReads,
    connect::{Purpose, connect},
    migrate,
    safety::check_commits,
    start_new_incarnation,
};
use ledger::{Position, Shard, ShardCount};
use support::{Log, deposit, opening, request_id};

#[tokio::test]
async fn what_is_appended_is_read_back_verified_and_in_order() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1), deposit(1, 2, 500, 1)]).await.unwrap();
    let head = log.append(Some(head), vec![deposit(1, 3, 70, 2)]).await.unwrap();
    assert_eq!(head.link.position, Position::ZERO.plus(3));

    let reader = log.reader().await;
    let genesis = log.identity.genesis(Shard::ZERO);
    for page in [1, 2, 100] {
        let mut link = genesis;
        let mut positions = Vec::new();
        loop {
            let batches = reader.read_after(Shard::ZERO, &link, page).await.unwrap();
            let Some(last) = batches.last() else { break };
            link = last.link;
            positions.extend(
                batches.iter().flat_map(|batch| &batch.events).map(|event| event.position.get()),
            );
        }
        assert_eq!(positions, [1, 2, 3], "pages of {page}");
        assert_eq!(link, head.link);
    }
}

/// A server that has crashed shows what its standbys may not have, and a failover would take it back.
#[tokio::test]
async fn nothing_is_read_before_the_standbys_have_it() {
    let postgres = dev_servers::Postgres::start_private().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let log = Log { identity: migrate(&url, None).await.unwrap(), url };
    log.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    log.run("SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_secs(1)).await; // until the server has come to it
    let read = LogReader::connect(&log.url, "test-reader").await;
    assert!(matches!(read, Err(Error::Silent(_))), "{read:?}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-reader'";
    let begun = Instant::now();
    while log.number(left).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "what waited in vain stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Processes that are killed while they wait cannot take it back.
    for _ in 0..5 {
        let killed = LogReader::connect(&log.url, "test-reader");
        assert!(tokio::time::timeout(Duration::from_millis(300), killed).await.is_err());
    }
    let begun = Instant::now();
    while log.number(left).await > 1 {
        assert!(begun.elapsed() < Duration::from_secs(10), "one for each that was killed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    log.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    log.run("SELECT pg_reload_conf()").await;
    log.reader().await;
}

/// Something on the way may take our bytes and go no further; nothing of the socket tells.
#[tokio::test]
async fn nobody_waits_for_ever_for_a_server_that_has_gone_silent() {
    let postgres = dev_servers::Postgres::start_private().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    migrate(&url, None).await.unwrap();
    let control = Control::connect(&url, "counterfoil-control/test").await.unwrap();
    let bell = Bell::connect(&url, "counterfoil-bell/test").await.unwrap();
    postgres.pause().unwrap();
    let patience = Duration::from_secs(30);
    let (turn, ring) = tokio::join!(
        tokio::time::timeout(patience, control.take_turn()),
        tokio::time::timeout(patience, bell.ring()),
    );
    postgres.resume().unwrap();
    assert!(matches!(turn, Ok(Err(Error::Silent(_)))), "{turn:?}");
    assert!(matches!(ring, Ok(Err(Error::Silent(_)))), "{ring:?}");
}

#[tokio::test]
async fn what_is_copied_is_what_is_read_page_by_page() {
    let log = Log::create().await;
    let genesis = log.identity.genesis(Shard::ZERO);
    assert!(log.copied(&genesis).await.unwrap().is_empty());
    let mut head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    for number in 0..200 {
        let deposits = (0..=number % 7).map(|of_batch| {
            let request = number * 7 + of_batch;
            deposit(1, request + 2, 500, request + 1)
        });
        // Versions may have holes here: nothing below reads them.
        head = log.append(Some(head), deposits.collect()).await.unwrap();
    }
    let read = log.reader().await.read_after(Shard::ZERO, &genesis, 10_000).await.unwrap();
    assert_eq!(read.len(), 201);
    for begin in [0, 1, 100, 201] {
        let after = if begin == 0 { genesis } else { read[begin - 1].link };
        let copied = log.copied(&after).await.unwrap();
        assert_eq!(copied.len(), read.len() - begin);
        for (copied, read) in copied.iter().zip(&read[begin..]) {
            assert_eq!((copied.link, copied.recorded_at), (read.link, read.recorded_at));
            assert_eq!((copied.accounts, &copied.events), (read.accounts, &read.events));
        }
    }
}

#[tokio::test]
async fn who_lets_a_copy_wait_is_not_taken_for_gone() {
    let log = Log::create().await;
    for (purpose, limit) in [(Purpose::Read, "10000"), (Purpose::ReadSlowly, "0")] {
        let connection = connect(&log.url, "t", purpose).await.unwrap();
        let shown = connection.client.query_one("SHOW tcp_user_timeout", &[]).await.unwrap();
        assert_eq!(shown.get::<_, &str>(0), limit, "{purpose:?}");
    }
}

#[tokio::test]
async fn a_head_from_which_nobody_could_count_on_is_corrupt() {
    let log = Log::create().await;
    log.append(None, vec![opening("alice", 1)]).await.unwrap();
    log.tamper(&format!("UPDATE counterfoil.batches SET last_position = {}", i64::MAX)).await;
    let head = log.reader().await.head(Shard::ZERO).await;
    assert!(matches!(head, Err(Error::Corrupt { .. })), "{head:?}");
}

#[tokio::test]
async fn what_stands_before_a_batch_out_of_place_is_copied() {
    let log = Log::create().await;
    let mut head = None;
    for number in 1..=3_i32 {
        head = Some(
            log.append(head, vec![opening(&format!("account-{number}"), number)]).await.unwrap(),
        );
    }
    log.tamper("UPDATE counterfoil.batches SET first_position = 4 WHERE first_position = 3").await;
    let mut copying =
        LogCopy::new(log.reader().await, Shard::ZERO, log.identity.genesis(Shard::ZERO));
    for position in 1..=2 {
        let batch = copying.next().await.unwrap().unwrap();
        assert_eq!(batch.link.position.get(), position);
    }
    assert!(matches!(copying.next().await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn an_append_on_a_head_that_has_moved_is_refused_and_leaves_nothing() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    log.append(Some(head), vec![deposit(1, 2, 500, 1)]).await.unwrap();
    for stale in [None, Some(head)] {
        let refused = log.append(stale, vec![deposit(1, 3, 1, 2)]).await;
        assert!(matches!(refused, Err(AppendError::HeadMoved)), "{refused:?}");
    }
    let forged = Head {
        link: event_store::ChainLink {
            digest: [7; 32],
            position: Position::ZERO.plus(2),
            ..head.link
        },
        ..head
    };
    let refused = log.append(Some(forged), vec![deposit(1, 3, 1, 2)]).await;
    assert!(
        matches!(refused, Err(AppendError::HeadMoved)),
        "the position alone is not the head: {refused:?}"
    );
    assert_eq!(log.count_events().await, 2);
}

#[tokio::test]
async fn a_request_id_is_in_the_log_once() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1), deposit(1, 2, 500, 1)]).await.unwrap();
    let refused = log.append(Some(head), vec![deposit(1, 3, 500, 1)]).await;
    assert!(matches!(refused, Err(AppendError::RequestIdTaken)), "{refused:?}");
    assert_eq!(log.count_events().await, 2);
}

#[tokio::test]
async fn rows_that_contradict_the_log_are_refused() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1), deposit(1, 2, 500, 1)]).await.unwrap();
    let mut below_limit = deposit(1, 3, 1, 2);
    below_limit.balance = -1;
    for (what, row) in [
        ("a version twice", deposit(1, 2, 1, 2)),
        ("an account opened twice", opening("alice", 2)),
        ("a balance below the limit", below_limit),
    ] {
        let refused = log.append(Some(head), vec![row]).await;
        assert!(matches!(refused, Err(AppendError::Contradiction(_))), "{what}: {refused:?}");
    }
}

#[tokio::test]
async fn a_batch_behind_a_failed_one_fails_too_also_across_shards() {
    let log = Log::create_with(ShardCount::new(4).unwrap()).await;
    let appender = log.appender().await;
    let first = log
        .attempt(&[(Shard::new(0).unwrap(), None, vec![opening("a", 1), opening("a", 2)])], None);
    let second =
        log.attempt(&[(Shard::new(1).unwrap(), None, vec![opening("b", 1)])], Some(&first));
    let (first, second) = tokio::join!(appender.append(&first), appender.append(&second));
    assert!(matches!(first, Err(AppendError::Contradiction(_))), "{first:?}");
    assert!(matches!(second, Err(AppendError::HeadMoved)), "{second:?}");
    assert_eq!(log.count_events().await, 0);
}

/// What an old snapshot makes slow is what it keeps from being cleaned up: rows that were updated or deleted.
#[tokio::test]
async fn appends_beside_an_old_snapshot_leave_nothing_to_clean_up() {
    let log = Log::create().await;
    let mut head = log.append(None, vec![opening("a", 1)]).await.unwrap();
    let _snapshot = log.old_snapshot().await;
    let appender = log.appender().await;
    for version in 2..=200 {
        let row = deposit(1, version, 500, version);
        let attempt = log.attempt(&[(Shard::ZERO, Some(head), vec![row])], None);
        head = appender.append(&attempt).await.unwrap()[0].head;
    }
    let dead =
        "SELECT (sum(n_tup_upd) + sum(n_tup_del) + sum(n_dead_tup))::bigint FROM pg_stat_all_tables
                WHERE schemaname IN ('counterfoil', 'pg_toast') AND relname NOT LIKE 'pg\\_%'";
    let inserted = "SELECT n_tup_ins FROM pg_stat_all_tables WHERE schemaname = 'counterfoil' AND relname = 'events'";
    drop(appender); // a connection says what it has done at the latest when it ends
    while log.number(inserted).await < 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(log.number(dead).await, 0);
}

#[tokio::test]
async fn a_batch_on_several_shards_is_in_all_or_in_none() {
    let log = Log::create_with(ShardCount::new(4).unwrap()).await;
    let appender = log.appender().await;
    let [zero, three] = [0, 3].map(|shard| Shard::new(shard).unwrap());
    let both = log.attempt(
        &[(three, None, vec![opening("b", 1)]), (zero, None, vec![opening("a", 1)])],
        None,
    );
    let appended = appender.append(&both).await.unwrap();
    assert_eq!(appended.iter().map(|part| part.shard).collect::<Vec<_>>(), [zero, three]);
    let stale = log.attempt(
        &[
            (zero, Some(appended[0].head), vec![deposit(1, 2, 5, 1)]),
            (three, None, vec![deposit(1, 2, 5, 2)]),
        ],
        None,
    );
    assert!(matches!(appender.append(&stale).await, Err(AppendError::HeadMoved)));
    assert_eq!(log.count_events().await, 2);
}

#[tokio::test]
async fn a_second_attempt_of_the_same_rows_fences_what_was_sent_behind_the_first() {
    let log = Log::create().await;
    let rows = || vec![opening("alice", 1)];
    let first = log.attempt(&[(Shard::ZERO, None, rows())], None);
    let after_first = first.heads_after().next().unwrap().1;
    let behind =
        log.attempt(&[(Shard::ZERO, Some(after_first), vec![deposit(1, 2, 500, 1)])], None);
    log.append(None, rows()).await.unwrap(); // the first is lost, and its commands are appended anew
    let late = log.appender().await.append(&behind).await;
    assert!(matches!(late, Err(AppendError::HeadMoved)), "{late:?}");
}

#[tokio::test]
async fn appending_connections_are_durable_whatever_the_defaults_say() {
    let log = Log::create().await;
    let database = log.database_name();
    log.run(&format!("ALTER DATABASE \"{database}\" SET synchronous_commit = off")).await;
    let connection = connect(&log.url, "t", Purpose::Append).await.unwrap();
    let row = connection.client.query_one("SHOW synchronous_commit", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "on");
}

#[tokio::test]
async fn statements_mean_the_same_whatever_the_defaults_say() {
    let log = Log::create().await;
    let database = log.database_name();
    for default in [
        "search_path = evil, pg_catalog",
        "default_transaction_isolation = 'repeatable read'",
        "quote_all_identifiers = on",
    ] {
        log.run(&format!("ALTER DATABASE \"{database}\" SET {default}")).await;
    }
    for purpose in [
        Purpose::Append,
        Purpose::WriterRead,
        Purpose::Read,
        Purpose::ReadSlowly,
        Purpose::Control,
        Purpose::Migrate,
    ] {
        let connection = connect(&log.url, "t", purpose).await.unwrap();
        for (setting, value) in [
            ("search_path", "pg_catalog"),
            ("transaction_isolation", "read committed"),
            ("quote_all_identifiers", "off"),
        ] {
            let show = format!("SHOW {setting}");
            let row = connection.client.query_one(&show, &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), value, "{purpose:?}: {setting}");
        }
    }
}

#[tokio::test]
async fn an_error_that_says_that_nobody_knows_is_not_taken_for_certain() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    for code in ["08006", "08007", "40003"] {
        log.run(&format!(
            "CREATE OR REPLACE FUNCTION public.says() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'lost on the way' USING ERRCODE = '{code}'; END $$;
             CREATE OR REPLACE TRIGGER says BEFORE INSERT ON counterfoil.batches
                 FOR EACH STATEMENT EXECUTE FUNCTION public.says()"
        ))
        .await;
        let unknown = log.append(Some(head), vec![deposit(1, 2, 500, 1)]).await;
        assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{code}: {unknown:?}");
    }
}

#[tokio::test]
async fn a_session_whose_commits_do_not_wait_for_the_disk_is_refused() {
    let log = Log::create().await;
    let appending = connect(&log.url, "t", Purpose::Append).await.unwrap();
    check_commits(&appending).await.unwrap();
    for weaker in ["off", "local", "remote_write"] {
        // As if something on the way had left out what the connection asked for.
        let set = format!("SET synchronous_commit = {weaker}");
        appending.client.batch_execute(&set).await.unwrap();
        let refused = check_commits(&appending).await;
        assert!(matches!(&refused, Err(Error::Unsafe(why)) if why.contains(weaker)), "{refused:?}");
    }
}

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let url = dev_servers::TestServers::get().database().await;
    let identities = futures::future::join_all((0..6).map(|_| migrate(&url, None))).await;
    let first = *identities[0].as_ref().unwrap();
    for identity in identities {
        assert_eq!(identity.unwrap(), first);
    }
    let other = migrate(&url, ShardCount::new(4)).await;
    assert!(
        matches!(other, Err(Error::Settings(_))),
        "the number of shards is for life: {other:?}"
    );
}

#[tokio::test]
async fn an_append_to_another_incarnation_is_refused() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    let next = start_new_incarnation(&log.url).await.unwrap();
    assert_eq!((next.incarnation, next.first_log_id), (2, log.identity.log_id));
    let refused = log.append(Some(head), vec![deposit(1, 2, 1, 1)]).await;
    assert!(matches!(refused, Err(AppendError::LogChanged)), "{refused:?}");
    let batches =
        log.reader().await.read_after(Shard::ZERO, &next.genesis(Shard::ZERO), 10).await.unwrap();
    assert_eq!(batches.len(), 1, "the chain goes on from the first incarnation");
}

#[tokio::test]
async fn a_new_incarnation_waits_for_appends_that_have_read_the_one_before() {
    let log = Log::create().await;
    let head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    let appending = connect(&log.url, "t", Purpose::Append).await.unwrap();
    // As `append()` begins, however long it then waits.
    let begin = "BEGIN; SELECT log_id FROM counterfoil.incarnations";
    appending.client.batch_execute(begin).await.unwrap();
    let mut declaring = pin!(start_new_incarnation(&log.url));
    let soon = tokio::time::sleep(Duration::from_millis(500));
    tokio::select! {
        declared = &mut declaring => panic!("it does not wait: {declared:?}"),
        () = soon => {}
    }
    appending.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(declaring.await.unwrap().incarnation, 2);
    let refused = log.append(Some(head), vec![deposit(1, 2, 500, 1)]).await;
    assert!(matches!(refused, Err(AppendError::LogChanged)), "{refused:?}");
}

#[tokio::test]
async fn every_edit_of_a_stored_row_is_noticed_by_a_reader() {
    let edits = [
        "UPDATE counterfoil.events SET balance = balance + 1 WHERE position = 2",
        "UPDATE counterfoil.events SET reference = 'other' WHERE position = 2",
        "UPDATE counterfoil.batches SET recorded_at = recorded_at + '1 s' WHERE first_position = 2",
        "UPDATE counterfoil.batches SET accounts = 2 WHERE first_position = 2",
        "DELETE FROM counterfoil.events WHERE position = 2",
        "DELETE FROM counterfoil.batches WHERE first_position = 2",
        "DELETE FROM counterfoil.events WHERE position = 2; DELETE FROM counterfoil.batches WHERE first_position = 2",
    ];
    for edit in edits {
        let log = Log::create().await;
        let head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
        let head = log.append(Some(head), vec![deposit(1, 2, 500, 1)]).await.unwrap();
        log.append(Some(head), vec![deposit(1, 3, 500, 2)]).await.unwrap();
        log.tamper(edit).await;
        let read = log
            .reader()
            .await
            .read_after(Shard::ZERO, &log.identity.genesis(Shard::ZERO), 100)
            .await;
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{edit}: {read:?}");
        let copied = log.copied(&log.identity.genesis(Shard::ZERO)).await;
        assert!(matches!(copied, Err(Error::Corrupt { .. })), "{edit}: {copied:?}");
    }
}

#[tokio::test]
async fn after_ending_a_writers_connections_nothing_of_it_can_still_happen() {
    let log = Log::create().await;
    let name = "counterfoil-append/lost-1";
    let _left_over = Appender::connect(&log.url, name).await.unwrap();
    let control = Control::connect(&log.url, "control").await.unwrap();
    control.check_safety().await.unwrap();
    control.end_connections(name, Duration::from_secs(5)).await.unwrap();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counterfoil-append/lost-1'";
    assert_eq!(log.number(left).await, 0);
}

#[tokio::test]
async fn an_append_that_cannot_get_the_head_says_so() {
    let log = Log::create().await;
    let holder = log.hold_head().await;
    let refused = log.append(None, vec![opening("alice", 1)]).await;
    assert!(matches!(refused, Err(AppendError::HeadBusy)), "{refused:?}");
    drop(holder);
}

#[tokio::test]
async fn commands_are_found_again_with_their_accounts() {
    let log = Log::create().await;
    let mut opened = opening("alice", 1);
    opened.request_id = Some(request_id(9).uuid());
    log.append(None, vec![opened, deposit(1, 2, 500, 1)]).await.unwrap();
    let reads = WriterReads::connect(&log.url, "t").await.unwrap();
    let (head, found) =
        reads.outcomes(Shard::ZERO, &[request_id(1), request_id(2), request_id(9)]).await.unwrap();
    assert_eq!(head.unwrap().link.position.get(), 2);
    assert_eq!(found.len(), 2);
    let outcome = &found[&request_id(1)];
    let StoredOutcome::Command { first, second: None } = outcome else { panic!("{outcome:?}") };
    assert_eq!(first.account.opening.account_id.as_str(), "alice");
    assert_eq!(first.event.state.balance, 500);

    let ids = ["alice", "bob"].map(|id| ledger::AccountId::new(id).unwrap());
    let (_, loaded) = reads.load(Shard::ZERO, &ids).await.unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!((loaded[0].state.version.get(), loaded[0].state.balance), (2, 500));
}

#[tokio::test]
async fn reading_uses_indexes_even_when_it_was_planned_on_an_empty_log() {
    let log = Log::create().await;
    let reader: LogReader = log.reader().await;
    let genesis = log.identity.genesis(Shard::ZERO);
    for _ in 0..10 {
        assert!(reader.read_after(Shard::ZERO, &genesis, 10).await.unwrap().is_empty());
    }
    let mut head = log.append(None, vec![opening("alice", 1)]).await.unwrap();
    for batch in 0..20 {
        let rows =
            (0..500).map(|n| deposit(1, 2 + batch * 500 + n, 1, 2 + batch * 500 + n)).collect();
        head = log.append(Some(head), rows).await.unwrap();
    }
    let before =
        log.number("SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables").await;
    let near_end = reader.link_at(Shard::ZERO, Position::ZERO.plus(9_501)).await.unwrap().unwrap();
    assert_eq!(reader.read_after(Shard::ZERO, &near_end, 1000).await.unwrap().len(), 1);
    drop(reader);
    tokio::time::sleep(Duration::from_millis(1100)).await; // statistics are sent once a second
    let after =
        log.number("SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables").await;
    assert!(after - before < 1000, "{} rows were read in sequence", after - before);
}

#[tokio::test]
async fn a_log_restored_on_another_server_gets_its_roles_again() {
    let server = dev_servers::Postgres::start_private().await.unwrap();
    let url = server.create_database().await.unwrap();
    let identity = migrate(&url, None).await.unwrap();
    let admin = connect(&url, "t", Purpose::Migrate).await.unwrap();
    let roles = "counterfoil_writer, counterfoil_projector";
    let lost = format!("DROP OWNED BY {roles}; DROP ROLE {roles}");
    admin.client.batch_execute(&lost).await.unwrap();
    assert!(Appender::connect(&url, "t").await.is_err(), "without its role nobody appends");
    assert_eq!(migrate(&url, None).await.unwrap(), identity);
    Appender::connect(&url, "t").await.unwrap();
    LogReader::connect(&url, "t").await.unwrap();
}

#[tokio::test]
async fn a_login_without_superpowers_can_own_the_log() {
    let server = dev_servers::Postgres::start_private().await.unwrap();
    let admin = connect(&server.url(), "t", Purpose::Migrate).await.unwrap();
    let login = "CREATE ROLE bank LOGIN CREATEROLE PASSWORD 'bank'";
    admin.client.batch_execute(login).await.unwrap();
    admin.client.batch_execute("CREATE DATABASE bank OWNER bank").await.unwrap();
    let url = server.url_of("bank").replacen("counterfoil@", "bank@", 1);
    assert!(url.contains("//bank@"), "{url}");
    migrate(&url, None).await.unwrap();
    Appender::connect(&url, "counterfoil-append/t").await.unwrap();
    let control = Control::connect(&url, "t").await.unwrap();
    control.end_connections("counterfoil-append/", Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_login_that_may_not_take_the_roles_is_told_what_to_ask_for() {
    let server = dev_servers::Postgres::start_private().await.unwrap();
    migrate(&server.create_database().await.unwrap(), None).await.unwrap(); // makes the roles
    let admin = connect(&server.url(), "t", Purpose::Migrate).await.unwrap();
    admin.client.batch_execute("CREATE ROLE bank LOGIN PASSWORD 'bank'").await.unwrap();
    admin.client.batch_execute("CREATE DATABASE bank").await.unwrap();
    admin.client.batch_execute("GRANT CREATE ON DATABASE bank TO bank").await.unwrap();
    let url = server.url_of("bank").replacen("counterfoil@", "bank@", 1);
    let refused = migrate(&url, None).await.unwrap_err();
    let grant = "GRANT counterfoil_writer, counterfoil_projector TO bank";
    let says = |error: &dyn std::error::Error| format!("{error:?}").contains(grant);
    assert!(says(&refused), "{refused:?}");
    admin.client.batch_execute(grant).await.unwrap();
    migrate(&url, None).await.unwrap();
    Appender::connect(&url, "t").await.unwrap();
    LogReader::connect(&url, "t").await.unwrap();
}

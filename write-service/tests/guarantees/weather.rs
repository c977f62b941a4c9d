//! Bad weather: what a call gets when it is late, when there is too much of it, and when the database is not as it should be.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dev_servers::Postgres;
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use prost::Message;
use tokio::sync::oneshot;
use tonic::Code;

use crate::support::*;

#[track_caller]
fn check(got: &Refusal, code: Code, reason: &str, applied: &str) {
    assert_eq!((got.code, got.reason.as_str(), got.applied()), (code, reason, applied), "{got:?}");
    let is_transient =
        !["LEDGER_CORRUPT", "LEDGER_UNSAFE", "MESSAGE_TOO_LARGE", "MESSAGE_MALFORMED"]
            .contains(&reason);
    assert_eq!(got.retry_after.is_some(), is_transient, "{got:?}");
}

fn deposit_request(amount: i64) -> (Call, proto::write::DepositRequest) {
    let call = deposit("a", amount);
    let Call::Deposit(request) = call.clone() else { unreachable!("a deposit") };
    (call, request)
}

#[tokio::test]
async fn a_deadline_that_has_passed_begins_nothing() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let (call, request) = deposit_request(5);
    let late = service.client.refused_in_time(request, Duration::ZERO).await;
    check(&late, Code::DeadlineExceeded, "DEADLINE_BEFORE_START", "false");
    assert!(!service.done(call).await.write.replayed);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_certain_and_one_that_passes_later_is_not() {
    let log = Log::create(1).await;
    let service = log.service_with(&["--batches-under-way-max", "1"]).await;
    let admin = log.admin().await;
    service.done(open("a")).await;
    let (sent, sent_request) = deposit_request(5);
    let (queued, queued_request) = deposit_request(70);
    let held = admin.hold_appends().await;
    let (soon, later) = (Duration::from_millis(300), Duration::from_secs(2));
    let queue_second = async {
        admin.until_appends_wait(1).await;
        service.client.refused_in_time(queued_request, soon).await
    };
    let (first, second) =
        tokio::join!(service.client.refused_in_time(sent_request, later), queue_second);
    check(&first, Code::DeadlineExceeded, "OUTCOME_UNKNOWN", "unknown");
    check(&second, Code::DeadlineExceeded, "DEADLINE_BEFORE_START", "false");
    drop(held);
    assert!(service.done(sent).await.write.replayed, "it was sent, and has run to its end");
    let found = log.judge().await;
    assert!(found.event_of(&queued).is_none());
    assert_eq!(found.balance("a"), 5);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_wherever_it_would_wait() {
    let log = Log::create(1).await;
    let settings =
        ["--queue-commands-max", "5", "--batches-under-way-max", "1", "--batch-commands-max", "1"];
    let service = log.service_with(&settings).await;
    let admin = log.admin().await;
    service.done(open("a")).await;
    // Behind an append that does not end: five wait, and one is under way if it was begun before they came.
    let held = admin.hold_appends().await;
    let release = async {
        admin.until_appends_wait(1).await;
        drop(held);
    };
    let deposits = (0..50).map(|_| deposit("a", 1)).collect();
    refused_before(&service, deposits, 5..=6, release).await;
    // Behind a load that does not end, and behind a twin.
    let openings = (0..25).map(|number| open(&format!("cold-{number}")));
    let twins = vec![open("twin"); 25];
    admin.run("BEGIN; LOCK TABLE counterfoil.events IN ACCESS EXCLUSIVE MODE").await;
    let release = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'counterfoil-load/')
                   AND datname = current_database() AND wait_event_type = 'Lock'";
        until("a load waits", async || admin.number(sql).await == 1).await;
        admin.run("ROLLBACK").await;
    };
    let calls = twins.into_iter().chain(openings).collect();
    refused_before(&service, calls, 5..=5, release).await;
}

/// Sends all of them at once. So many of them are accepted; the others are refused before `release`, and so without waiting for the log.
async fn refused_before(
    service: &Service,
    calls: Vec<Call>,
    accepted: RangeInclusive<usize>,
    release: impl Future<Output = ()>,
) {
    let refused_least = calls.len() - accepted.end();
    let overloaded = |refusal: &Refusal| {
        check(refusal, Code::ResourceExhausted, "OVERLOADED", "false");
    };
    let mut answers: FuturesUnordered<_> =
        calls.into_iter().map(|call| service.send(call)).collect();
    for _ in 0..refused_least {
        let answer = within("a refusal", answers.next()).await.unwrap();
        overloaded(&answer.unwrap_err());
    }
    release.await;
    let mut fine = 0;
    while let Some(answer) = within("an answer", answers.next()).await {
        fine += usize::from(answer.is_ok());
        answer.err().iter().for_each(overloaded);
    }
    assert!(accepted.contains(&fine), "{fine} were accepted");
}

#[tokio::test]
async fn a_caller_that_sends_much_leaves_room_for_others_and_does_not_make_them_wait() {
    const WAITING: usize = 80;
    const KEPT_FOR_OTHERS: usize = WAITING / 8;
    const BATCH: usize = 4;
    let log = Log::create(1).await;
    let settings =
        ["--queue-commands-max", "80", "--batches-under-way-max", "1", "--batch-commands-max", "4"];
    let service = log.service_with(&settings).await;
    let admin = log.admin().await;
    service.done(open("much")).await;
    let opened = service.done(open("little")).await;
    let little = Client::connect(service.client.addr).await;
    let held = admin.hold_appends().await;
    let release = async {
        admin.until_appends_wait(1).await;
        assert_eq!(service.refused(deposit("much", 0)).await.reason, "AMOUNT_NOT_POSITIVE"); // all others have arrived
        let mut waits = Box::pin(little.send(deposit("little", 1)));
        let still = tokio::time::timeout(Duration::from_millis(100), &mut waits).await;
        assert!(still.is_err(), "{still:?}: it has a place");
        drop(held);
        waits.await
    };
    let (much, little) =
        tokio::join!(every_one(&service.client, (0..200).map(|_| deposit("much", 1))), release);
    let (fine, refused): (Vec<_>, Vec<_>) = much.into_iter().partition(Result::is_ok);
    let accepted = WAITING - KEPT_FOR_OTHERS;
    assert!((accepted..=accepted + BATCH).contains(&fine.len()), "{}", fine.len());
    for refusal in refused {
        check(&refusal.unwrap_err(), Code::ResourceExhausted, "RATE_LIMITED", "false");
    }
    // It came after all of those, and was decided in the batch behind the one that was held, or the next.
    let position = little.unwrap().write.position - opened.write.position;
    assert!(position <= i64::try_from(3 * BATCH).unwrap(), "it was decided as number {position}");
}

/// All from one caller, so that no turns between callers help.
#[tokio::test]
async fn an_account_that_everybody_writes_to_holds_no_other_up() {
    const CALLERS: usize = 64;
    const OTHERS: usize = 30;
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("hot")).await;
    service.done(open("other")).await;
    let stop = AtomicBool::new(false);
    let hot = (0..CALLERS).map(async |_| {
        while !stop.load(Ordering::Relaxed) {
            service.done(deposit("hot", 1)).await;
        }
    });
    let others = async {
        let before = service.done(deposit("hot", 1)).await.version();
        for _ in 0..OTHERS {
            service.done(deposit("other", 1)).await;
        }
        let after = service.done(deposit("hot", 1)).await.version();
        stop.store(true, Ordering::Relaxed);
        usize::try_from(after - before).unwrap()
    };
    let (_, meanwhile) = tokio::join!(futures::future::join_all(hot), others);
    assert!(meanwhile > OTHERS, "only {meanwhile} were on the hot account");
    // Each waits for what is under way, and at most once for everybody.
    assert!(meanwhile <= OTHERS * 3 * CALLERS, "{meanwhile} went before {OTHERS}");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused() {
    let log = Log::create(1).await;
    let service = log.service().await;
    let large = deposit("a", 5).referring_to(&"x".repeat(5 * 1024 * 1024));
    let refusal = service.refused(large).await;
    check(&refusal, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "false");
    let malformed: [&[u8]; 4] = [
        &[0xff, 0xff, 0xff],             // no protobuf
        &[0x0a, 0x02, 0xc3, 0x28],       // request_id is not UTF-8
        &[0x08, 0x01],                   // request_id is a number
        &[0x0a, 0x20, b'c', b'u', b't'], // request_id is cut short
    ];
    for rpc in ["OpenAccount", "Deposit", "Transfer", "CloseAccount"] {
        for bytes in malformed {
            let refusal = service.client.send_bytes(rpc, bytes.to_vec()).await.unwrap_err();
            check(&refusal, Code::InvalidArgument, "MESSAGE_MALFORMED", "false");
        }
    }
    assert_eq!(log.judge().await.events.len(), 0);
}

#[tokio::test]
async fn while_the_database_is_away_nothing_is_begun() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    proxy.refuse_connections(true);
    let service = Service::start(&proxy.url, &[]).await;
    let call = open("a");
    check(&service.refused(call.clone()).await, Code::Unavailable, "LEDGER_UNAVAILABLE", "false");
    service.until_serving(false).await;
    proxy.refuse_connections(false);
    service.until_serving(true).await;
    assert!(!service.done(call).await.write.replayed);

    proxy.refuse_connections(true);
    assert!(log.admin().await.cut("counterfoil-").await >= 3);
    service.until_serving(false).await; // noticed without any call
    let refusal = service.refused(deposit("a", 5)).await;
    check(&refusal, Code::Unavailable, "LEDGER_UNAVAILABLE", "false");
    proxy.refuse_connections(false);
    service.until_serving(true).await;
    assert_eq!(service.done(deposit("a", 7)).await.balance(), 7);
}

#[tokio::test]
async fn a_log_that_a_crash_would_empty_is_not_written() {
    let log = Log::create(1).await;
    let admin = log.admin().await;
    admin.run("ALTER TABLE counterfoil.batches SET UNLOGGED").await;
    let service = log.service().await;
    let refusal = service.refused(open("a")).await;
    check(&refusal, Code::Unavailable, "LEDGER_UNSAFE", "false");
    assert!(refusal.message.contains("UNLOGGED"), "{refusal:?}");
    service.until_serving(false).await;
    admin.run("ALTER TABLE counterfoil.batches SET LOGGED").await;
    service.until_serving(true).await;
    service.done(open("a")).await;
    log.judge().await;
}

#[tokio::test]
async fn a_log_that_could_hold_a_command_twice_is_not_written() {
    let log = Log::create(1).await;
    let admin = log.admin().await;
    let service = log.service().await;
    service.done(open("a")).await;
    for (index, again) in [
        ("events_request_id_key", "(shard, request_id) WHERE request_id IS NOT NULL"),
        ("events_account_version_key", "(shard, account, version) WHERE event_type <> 11"),
    ] {
        admin.run(&format!("DROP INDEX counterfoil.{index}")).await;
        service.until_serving(false).await;
        // One that is there by name only is none.
        admin.run(&format!("CREATE INDEX {index} ON counterfoil.events {again}")).await;
        let started = log.service().await;
        for refusing in [&service, &started] {
            let refusal = refusing.refused(deposit("a", 1)).await;
            check(&refusal, Code::Unavailable, "LEDGER_UNSAFE", "false");
            assert!(refusal.message.contains(index), "{refusal:?}");
            refusing.until_serving(false).await;
        }
        admin.run(&format!("DROP INDEX counterfoil.{index}")).await;
        admin.run(&format!("CREATE UNIQUE INDEX {index} ON counterfoil.events {again}")).await;
        service.until_serving(true).await;
        service.done(deposit("a", 1)).await;
    }
    assert_eq!(log.judge().await.balance("a"), 2);
}

#[tokio::test]
async fn a_session_whose_commits_do_not_wait_for_the_disk_is_not_written_through() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    let service = Service::start(&proxy.url, &[]).await;
    service.done(open("a")).await;
    proxy.weaken_commits(true);
    assert!(log.admin().await.cut("counterfoil-").await >= 3);
    service.until_serving(false).await;
    let started = Service::start(&proxy.url, &[]).await;
    for unsafe_one in [&service, &started] {
        // Until it has connected anew it knows only that it cannot.
        until("it says why", async || {
            unsafe_one.refused(deposit("a", 1)).await.reason != "LEDGER_UNAVAILABLE"
        })
        .await;
        let refusal = unsafe_one.refused(deposit("a", 1)).await;
        check(&refusal, Code::Unavailable, "LEDGER_UNSAFE", "false");
        assert!(refusal.message.contains("synchronous_commit is off"), "{refusal:?}");
        unsafe_one.until_serving(false).await;
    }
    assert_eq!(log.judge().await.balance("a"), 0);
    proxy.weaken_commits(false);
    service.until_serving(true).await;
    assert_eq!(service.done(deposit("a", 1)).await.balance(), 1);
}

#[tokio::test]
async fn a_database_that_forgets_is_not_written() {
    let server = Postgres::start_private().await.unwrap();
    let log = Log::create_at(server.create_database().await.unwrap(), 1).await;
    let admin = log.admin().await;
    let running = log.service().await;
    running.done(open("a")).await;
    for (balance, setting) in (1..).zip(["fsync", "full_page_writes"]) {
        set(&log, setting, "off").await;
        let started = log.service().await;
        let refusal = started.refused(deposit("a", 1)).await;
        check(&refusal, Code::Unavailable, "LEDGER_UNSAFE", "false");
        assert!(refusal.message.contains(&format!("{setting} is off")), "{refusal:?}");
        started.until_serving(false).await;

        admin.cut("counterfoil-safety/").await; // it is asked now and then, and when a connection is made
        running.until_serving(false).await;
        check(&running.refused(deposit("a", 1)).await, Code::Unavailable, "LEDGER_UNSAFE", "false");
        assert_eq!(log.judge().await.balance("a"), balance - 1);
        set(&log, setting, "on").await;
        started.until_serving(true).await;
        assert_eq!(started.done(deposit("a", 1)).await.balance(), balance);
        running.until_serving(true).await;
    }
}

/// Changes a setting of the whole server, and waits until new sessions have it.
async fn set(log: &Log, setting: &str, value: &str) {
    let admin = log.admin().await;
    admin.run(&format!("ALTER SYSTEM SET {setting} = {value}")).await;
    admin.run("SELECT pg_reload_conf()").await;
    let show = format!("SELECT current_setting('{setting}')");
    let said = async || log.admin().await.texts(&show).await.pop().flatten();
    until("it is set", async || said().await.as_deref() == Some(value)).await;
}

#[tokio::test]
async fn a_database_that_can_only_be_read_is_refused_by_name() {
    let log = Log::create(1).await;
    let admin = log.admin().await;
    let read_only = "default_transaction_read_only";
    admin.run(&format!("ALTER DATABASE {} SET {read_only} = on", admin.database())).await;
    let service = log.service().await;
    let refusal = service.refused(open("a")).await;
    check(&refusal, Code::Unavailable, "STORAGE_UNAVAILABLE", "false");
    assert!(refusal.message.contains("can only be read"), "{refusal:?}");
    service.until_serving(false).await;
    admin.run("SET default_transaction_read_only = off").await;
    admin.run(&format!("ALTER DATABASE {} RESET {read_only}", admin.database())).await;
    admin.cut("counterfoil-safety/").await; // that session was told when it began
    service.until_serving(true).await;
    service.done(open("a")).await;
}

#[tokio::test]
async fn a_database_that_cannot_store_says_so_and_is_written_again_when_it_can() {
    let log = Log::create(1).await;
    let service = log.service().await;
    let admin = log.admin().await;
    service.done(open("a")).await;
    let fails = |code: &str| {
        format!(
            "CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$;
             CREATE TRIGGER fails BEFORE INSERT ON counterfoil.batches EXECUTE FUNCTION public.fails()"
        )
    };
    let works = "DROP TRIGGER fails ON counterfoil.batches; DROP FUNCTION public.fails()";
    let append = "counterfoil.append";
    let weather = [
        ("the disk is full", fails("53100"), works.to_owned()),
        ("something nobody has thought of", fails("XX000"), works.to_owned()),
        (
            "the right is missing",
            format!("REVOKE EXECUTE ON FUNCTION {append} FROM counterfoil_writer"),
            format!("GRANT EXECUTE ON FUNCTION {append} TO counterfoil_writer"),
        ),
    ];
    for (round, (what, begin, end)) in weather.into_iter().enumerate() {
        admin.run(&begin).await;
        let call = deposit("a", 5);
        let refusal = service.refused(call.clone()).await;
        check(&refusal, Code::Unavailable, "STORAGE_UNAVAILABLE", "false");
        admin.run(&end).await;
        let done = within(what, retried(&service.client, vec![call], 1, &History::default())).await;
        assert_eq!(
            done[0].as_ref().unwrap().version(),
            2 + i64::try_from(round).unwrap(),
            "{what}"
        );
    }
    let read_only = "default_transaction_read_only";
    admin.run(&format!("ALTER DATABASE {} SET {read_only} = on", admin.database())).await;
    admin.cut("counterfoil-").await;
    service.until_serving(false).await;
    let refusal = service.refused(deposit("a", 5)).await;
    check(&refusal, Code::Unavailable, "STORAGE_UNAVAILABLE", "false");
    admin.run(&format!("ALTER DATABASE {} RESET {read_only}", admin.database())).await;
    service.until_serving(true).await;
    service.done(deposit("a", 5)).await;
    log.judge().await;
}

#[tokio::test]
async fn a_batch_that_breaks_every_connection_is_not_tried_for_ever() {
    let log = Log::create(1).await;
    let service = log.service().await;
    let admin = log.admin().await;
    service.done(open("a")).await;
    admin
        .run(
            "CREATE FUNCTION public.breaks() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
             CREATE TRIGGER breaks BEFORE INSERT ON counterfoil.events FOR EACH ROW WHEN (NEW.amount = 13)
                 EXECUTE FUNCTION public.breaks()",
        )
        .await;
    let refusal = service.refused(deposit("a", 13)).await;
    check(&refusal, Code::Unavailable, "LEDGER_UNAVAILABLE", "false");
    assert_eq!(service.done(deposit("a", 5)).await.balance(), 5);
    log.judge().await;
}

#[tokio::test]
async fn a_log_that_goes_backwards_stops_the_writer() {
    let cut = "DELETE FROM counterfoil.events WHERE position > 2; DELETE FROM counterfoil.batches WHERE last_position > 2";
    let forge = "UPDATE counterfoil.batches SET digest = sha256('') WHERE last_position = 4";
    for damage in [cut, forge] {
        let log = Log::create(1).await;
        let service = log.service().await;
        for call in [open("a"), deposit("a", 1), deposit("a", 1), deposit("a", 1)] {
            service.done(call).await;
        }
        log.admin().await.tamper(damage).await;
        let answers = every_one(&service.client, (0..10).map(|_| deposit("a", 5))).await;
        for answer in answers {
            check(&answer.unwrap_err(), Code::DataLoss, "LEDGER_CORRUPT", "false");
        }
        service.until_serving(false).await;
        check(&service.refused(open("b")).await, Code::DataLoss, "LEDGER_CORRUPT", "false");
        let events = log.admin().await.count_events().await;
        assert_eq!(events, if damage == cut { 2 } else { 4 });
        service.stop().await;
    }
}

#[tokio::test]
async fn a_new_incarnation_of_the_log_is_gone_on_with() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let next = event_store::start_new_incarnation(&log.url).await.unwrap();
    let done = service.done(deposit("a", 5)).await;
    assert!(done.write.consistency_token.contains(&next.log_id.to_string()));
    assert_eq!(log.judge().await.balance("a"), 5);
}

#[tokio::test]
async fn a_call_that_comes_while_the_service_ends_is_not_begun() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let (_, request) = deposit_request(5);
    let (say, said) = oneshot::channel();
    let message = stream::once(async { said.await.unwrap() });
    let end = async {
        // The call has begun: what was sent behind it is answered.
        service.done(deposit("a", 1)).await;
        service.begin_to_stop();
        say.send(request.encode_to_vec()).unwrap();
    };
    let (answer, ()) = tokio::join!(service.client.send_stream("Deposit", message), end);
    check(&answer.unwrap_err(), Code::Unavailable, "SHUTTING_DOWN", "false");
    service.stopped().await;
    assert_eq!(log.judge().await.balance("a"), 1);
}

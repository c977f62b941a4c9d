//! Streams: many commands outstanding, each answered by itself, in the order they came in.

use futures::{StreamExt, stream};
use ledger::Event;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::support::*;

mod shards {
    crate::support::with_one_shard_and_four!(
        commands_on_a_stream_are_answered_in_the_order_they_came,
        a_command_that_fails_on_a_stream_does_not_stop_those_behind_it,
        a_stream_keeps_the_order_of_each_account,
        a_stream_whose_answers_are_lost_loses_and_doubles_nothing,
    );
}

async fn commands_on_a_stream_are_answered_in_the_order_they_came(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let names: Vec<String> = (0..50).map(|number| format!("a{number}")).collect();
    let mut calls: Vec<Call> = names.iter().map(|name| open(name)).collect();
    for round in 0..40 {
        calls.extend(names.iter().map(|name| deposit(name, round + 1)));
    }
    let sent = stream::iter(calls.clone().into_iter().map(|call| Some(command(call))));
    let answers: Vec<_> =
        within("answers", service.client.stream(sent).await.collect::<Vec<_>>()).await;
    assert_eq!(answers.len(), calls.len());
    let history = History::default();
    for (call, answer) in calls.into_iter().zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.as_ref().unwrap().account.account_id, call.account());
        history.note(call, answer);
    }
    let found = log.judge().await;
    history.agrees_with(&found);
    assert!(names.iter().all(|name| found.balance(name) == 820));
}

async fn a_command_that_fails_on_a_stream_does_not_stop_those_behind_it(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let calls = [
        Some(open("a")),
        Some(deposit("a", 10)),
        None,
        Some(withdraw("a", 11)),
        Some(deposit("nobody", 1)),
        Some(deposit("a", -1)),
        Some(withdraw("a", 10)),
    ];
    let sent = stream::iter(calls.into_iter().map(|call| call.map(command)));
    let answers: Vec<_> = service.client.stream(sent).await.collect().await;
    let outcomes: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().map_or_else(|refusal| refusal.reason, |_| "OK".into()))
        .collect();
    assert_eq!(
        outcomes,
        [
            "OK",
            "OK",
            "COMMAND_MISSING",
            "INSUFFICIENT_FUNDS",
            "ACCOUNT_NOT_FOUND",
            "AMOUNT_NOT_POSITIVE",
            "OK"
        ]
    );
    log.judge().await;
}

async fn a_stream_keeps_the_order_of_each_account(shards: i16) {
    let log = Log::create(shards).await;
    let service = log.service().await;
    let pairs = 200;
    for number in 0..pairs {
        service.done(open(&format!("cold-{number}"))).await;
    }
    service.done(open("hot")).await;
    // `hot` never has enough for what comes before its money, and none of the others is in this one's memory.
    let other = log.service().await;
    other.done(deposit("hot", 1)).await;
    let calls = (0..pairs).flat_map(|number| {
        let cold = format!("cold-{number}");
        [transfer("hot", &cold, 1), transfer(&cold, "hot", 1), deposit("nobody", 1)]
    });
    let sent = stream::iter(calls.map(|call| Some(command(call))));
    let answers: Vec<_> =
        within("answers", other.client.stream(sent).await.collect::<Vec<_>>()).await;
    for (index, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.is_err(), index % 3 == 2, "{index}: {answer:?}");
    }
    assert_eq!(log.judge().await.balance("hot"), 1);
}

async fn a_stream_whose_answers_are_lost_loses_and_doubles_nothing(shards: i16) {
    let log = Log::create(shards).await;
    let proxy = Proxy::start(&log.url).await;
    // Small appends, so that others stand behind the one whose answer is lost.
    let service = Service::start(&proxy.url, &["--batch-commands-max", "8"]).await;
    let rival = log.service().await;
    service.done(open("a")).await;
    service.done(open("b")).await;
    let history = History::default();
    let (sender, calls) = mpsc::unbounded_channel();
    let calls = UnboundedReceiverStream::new(calls).map(|call| Some(command(call)));
    let mut answers = service.client.stream(calls).await;
    let mut version = 0;
    for (round, fault) in [Fault::ReplyLost, Fault::CutBehind, Fault::NeverSent]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        proxy.lose_next(fault);
        let calls: Vec<Call> = (0..100)
            .map(|_| {
                version += 1;
                deposit("a", 7).expecting(version) // in no other order
            })
            .collect();
        calls.iter().for_each(|call| sender.send(call.clone()).unwrap());
        rival.done(deposit("b", 1)).await;
        for call in calls {
            let answer = within("an answer", answers.next()).await.unwrap().unwrap();
            assert!(answer.is_ok(), "{fault:?}: {answer:?}");
            history.note(call, answer);
        }
        assert_eq!(proxy.faults_reached(), round + 1);
    }
    drop(sender);
    assert!(answers.next().await.is_none());
    let found = log.judge().await;
    assert_eq!([found.balance("a"), found.balance("b")], [6 * 100 * 7, 6]);
}

#[tokio::test]
async fn a_stream_that_does_not_read_its_answers_is_not_read_either() {
    const SENT: usize = 20_000;
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let calls = (0..SENT).map(|_| Some(command(deposit("a", 1))));
    let answers = service.client.stream(stream::iter(calls)).await;
    let admin = log.admin().await;
    let mut before = -1;
    let stopped = within("it stops", async {
        loop {
            let now = admin.count_events().await;
            if now == before {
                return now;
            }
            before = now;
            // Others are served meanwhile; and it is a pause in which much could be appended.
            for _ in 0..50 {
                service.refused(deposit("a", 0)).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(usize::try_from(stopped).unwrap() < SENT / 2, "{stopped} commands were decided");
    service.done(deposit("a", 1)).await;
    let answered =
        within("answers", answers.filter(|answer| std::future::ready(answer.is_ok())).count());
    assert_eq!(answered.await, SENT);
    assert_eq!(log.judge().await.balance("a"), i64::try_from(SENT).unwrap() + 1);
}

#[tokio::test]
async fn a_stream_is_ended_by_shutdown_after_what_was_read_is_answered() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let (sender, calls) = mpsc::unbounded_channel();
    let mut answers = service
        .client
        .stream(UnboundedReceiverStream::new(calls).map(|call| Some(command(call))))
        .await;
    let admin = log.admin().await;
    let held = admin.hold_appends().await;
    for _ in 0..10 {
        sender.send(deposit("a", 1)).unwrap();
    }
    admin.until_appends_wait(1).await;
    service.refused(deposit("a", 0)).await; // a round trip: the stream was read
    service.begin_to_stop();
    drop(held);
    let mut done = 0;
    let end = loop {
        match within("an answer", answers.next()).await.unwrap() {
            Ok(answer) => {
                answer.unwrap();
                done += 1;
            }
            Err(end) => break end,
        }
    };
    assert_eq!((end.reason.as_str(), end.code), ("SHUTTING_DOWN", tonic::Code::Unavailable));
    assert!(answers.next().await.is_none());
    drop(sender);
    service.stopped().await;
    assert_eq!(log.judge().await.balance("a"), done);
}

#[tokio::test]
async fn commands_of_a_stream_whose_client_left_are_applied_in_order_or_not_at_all() {
    let log = Log::create(1).await;
    let service = log.service().await;
    service.done(open("a")).await;
    let calls = (0..1_000).map(|number: i64| Some(command(deposit("a", number + 1))));
    let mut answers = service.client.stream(stream::iter(calls).chain(stream::pending())).await;
    let first = within("an answer", answers.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.balance(), 1);
    drop(answers);
    service.done(deposit("a", 5_000)).await;
    service.stop().await;
    let amounts: Vec<i64> = log
        .judge()
        .await
        .events
        .iter()
        .filter_map(|event| match &event.event {
            Event::MoneyDeposited(entry) => Some(entry.amount.minor_units()),
            _ => None,
        })
        .filter(|amount| *amount <= 1_000)
        .collect();
    let first: Vec<i64> = (1..).take(amounts.len()).collect();
    assert_eq!(amounts, first, "one was left out, and one behind it applied");
}

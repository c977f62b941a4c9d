//! Reading what one has written: by a token, however the news travels.

use std::time::{Duration, Instant};

use dev_servers::Redis;
use read_model::{EntryKind, View};
use service_kit::error_details::{metadata, reason};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::*;

/// So long that a test which needs it fails.
const NEVER: &str = "3600000";

#[tokio::test]
async fn a_read_with_a_token_waits_until_a_publication_wakes_it() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    // Looking again by itself is switched off: only the publication can wake it.
    let flags = ["--wait-recheck-ms", NEVER, "--wait-max-ms", "30000"];
    let service = Service::start(&redis.url(), &flags).await;
    service.until_listening(&redis.url()).await;
    for amount in 1..=20 {
        let token = format!("cf1.{}.0-{}", model.log_id, amount + 1);
        let waiting = service.waiting_balance("alice", &token);
        service.until_metric("counterfoil_read_waiters 1").await;
        model.deposit("alice", 1).await;
        assert_eq!(joined(waiting).await.unwrap(), (amount, token));
        service.until_metric("counterfoil_read_waiters 0").await;
    }
}

#[tokio::test]
async fn a_read_with_a_token_finds_out_by_itself_when_no_publication_comes() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    // This user may read everything and listen to nothing.
    let deaf = ["ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "resetchannels"];
    command(&redis.url(), &deaf).await;
    let url = redis.url().replace("redis://", "redis://deaf:pw@");
    let service = Service::start(&url, &["--wait-max-ms", "30000"]).await;
    let token = format!("cf1.{}.0-2", model.log_id);
    let waiting = service.waiting_balance("alice", &token);
    service.until_metric("counterfoil_read_waiters 1").await;
    let began = Instant::now();
    model.deposit("alice", 7).await;
    assert_eq!(joined(waiting).await.unwrap(), (7, token));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_write_between_the_look_and_the_wait_is_not_missed() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let flags = ["--wait-recheck-ms", NEVER, "--wait-max-ms", "30000"];
    let service = Service::start(&redis.url(), &flags).await;
    service.until_listening(&redis.url()).await;
    // The write lands anywhere before, between and after the steps of the read.
    for amount in 1..=200_i64 {
        let token = format!("cf1.{}.0-{}", model.log_id, amount + 1);
        let waiting = service.waiting_balance("alice", &token);
        if amount % 4 > 0 {
            tokio::time::sleep(Duration::from_micros(150 * (amount.unsigned_abs() % 7))).await;
        }
        model.deposit("alice", 1).await;
        assert_eq!(joined(waiting).await.unwrap().0, amount);
    }
}

#[tokio::test]
async fn a_generation_being_built_wakes_but_does_not_satisfy() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let flags = ["--wait-recheck-ms", NEVER, "--wait-max-ms", "30000"];
    let service = Service::start(&redis.url(), &flags).await;
    service.until_listening(&redis.url()).await;
    model.hold_back(View::Accounts);
    let token = model.deposit("alice", 3).await;
    let waiting = service.waiting_balance("alice", &token);
    service.until_metric("counterfoil_read_waiters 1").await;
    let shard = model.shard_of("alice");
    let generation = model.begin(View::Accounts, shard).await;
    model.fill(View::Accounts, shard, generation).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    service.until_metric("counterfoil_read_waiters 1").await;
    model.swap(View::Accounts, shard, generation).await;
    assert_eq!(joined(waiting).await.unwrap(), (3, token));
}

#[tokio::test]
async fn a_wait_ends_a_little_before_its_callers_deadline() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    let here = model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", NEVER]).await;
    let token = format!("cf1.{}.0-2", model.log_id);
    let timeout = Duration::from_millis(200);
    // On a busy machine our client's own timer may come first; then nothing was learned.
    let refused = in_time(async {
        loop {
            let asked = within(timeout, fresh_balance("alice", at_least(&token)));
            let refused = service.client().get_balance(asked).await.unwrap_err();
            if refused.code() != Code::Cancelled {
                return refused;
            }
        }
    })
    .await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_LAGGING"));
    assert_eq!(metadata(&refused)["as_of"], here);
}

#[tokio::test]
async fn shards_that_a_query_does_not_touch_are_not_waited_for() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 4).await;
    let [here, there] = ["alice", "cz-5868"]; // in shards 3 and 1
    assert_ne!(model.shard_of(here), model.shard_of(there));
    let token_here = model.open(here, "acme").await;
    model.open(there, "acme").await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", "50"]).await;
    let shard = model.shard_of(there);
    let far = format!("cf1.{}.{shard}-99", model.log_id);
    let mut client = service.client();
    let both = format!("{token_here},{far}");
    let answer = client.get_balance(fresh_balance(here, at_least(&both))).await.unwrap();
    assert_eq!(answer.into_inner().read.unwrap().as_of, token_here);
    client.get_balance(fresh_balance(there, at_least(&both))).await.unwrap_err();
    let batch = |ids: [&str; 2]| proto::read::BatchGetBalancesRequest {
        consistency: at_least(&both),
        ..balances(ids)
    };
    client.batch_get_balances(batch([here, here])).await.unwrap();
    client.batch_get_balances(batch([here, there])).await.unwrap_err();
}

#[tokio::test]
async fn a_token_of_one_view_makes_another_view_wait() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.hold_back(View::Transactions);
    model.movement("alice", EntryKind::Deposit, 9).await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", "30000"]).await;
    let mut client = service.client();
    let seen = client.get_balance(balance("alice")).await.unwrap().into_inner();
    assert_eq!(seen.balance.unwrap().minor_units, 9);
    // Without the token the statement may be behind, and says so.
    let behind = client.get_latest_transaction(latest("alice")).await.unwrap().into_inner();
    assert!(behind.transaction.is_none());
    assert_ne!(behind.read.unwrap().as_of, seen.read.clone().unwrap().as_of);
    let asked = proto::read::GetLatestTransactionRequest {
        consistency: at_least(seen.read.unwrap().as_of),
        ..latest("alice")
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { client.get_latest_transaction(asked).await });
    service.until_metric("counterfoil_read_waiters 1").await;
    model.let_go(View::Transactions).await;
    let latest = joined(tasks).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!(latest.amount.unwrap().minor_units, 9);
}

#[tokio::test]
async fn staleness_is_the_time_since_the_read_model_had_all_of_the_log() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let unknown = client.get_balance(balance("alice")).await.unwrap().into_inner();
    assert_eq!(unknown.read.unwrap().staleness, None);

    model.stamp_heads().await;
    let minute = || fresh_balance("alice", stale_at_most(60, 0));
    let fresh = client.get_balance(minute()).await.unwrap().into_inner();
    assert_eq!(fresh.read.unwrap().staleness.unwrap().seconds, 0);

    // An event that the view does not have yet: what it has was all of the log a moment ago.
    model.hold_back(View::Accounts);
    model.deposit("alice", 1).await;
    model.stamp_heads().await;
    let behind = client.get_balance(minute()).await.unwrap().into_inner();
    assert!(behind.read.unwrap().staleness.is_some());
    tokio::time::sleep(Duration::from_millis(30)).await;
    let refused = client.get_balance(fresh_balance("alice", stale_at_most(0, 20_000_000))).await;
    let refused = refused.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("READ_MODEL_STALE"));
    let age: u64 = metadata(&refused)["staleness_ms"].parse().unwrap();
    assert!(age >= 30, "{age}");
}

#[tokio::test]
async fn a_caller_whose_calls_all_wait_leaves_room_for_others() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    for (limit, next) in [("--waiters-max", 2), ("--queries-max", 3)] {
        let service = Service::start(&redis.url(), &[limit, "16", "--wait-max-ms", NEVER]).await;
        let of_the_future = format!("cf1.{}.0-999", model.log_id);
        let mut greedy = JoinSet::new();
        for _ in 0..50 {
            let mut client = service.client();
            let asked = fresh_balance("alice", at_least(&of_the_future));
            greedy.spawn(async move { client.get_balance(asked).await });
        }
        // All but the last eighth of the places; whoever gets none of them is told so.
        for _ in 0..36 {
            let ended = in_time(greedy.join_next()).await.unwrap().unwrap();
            let refused = ended.unwrap_err();
            assert_eq!(reason(&refused).as_deref(), Some("OVERLOADED"), "{refused}");
            assert!(refused.message().contains("of this caller"), "{refused}");
        }
        service.until_metric("counterfoil_read_waiters 14").await;

        let mut other = service::Client::connect(format!("http://{}", service.addr)).await.unwrap();
        let token = format!("cf1.{}.0-{next}", model.log_id);
        let asked = fresh_balance("alice", at_least(token));
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { other.get_balance(asked).await });
        service.until_metric("counterfoil_read_waiters 15").await;
        model.deposit("alice", 5).await;
        in_time(joined(waiting)).await.unwrap();
        assert_eq!(greedy.len(), 14);
    }
}

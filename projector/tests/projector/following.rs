//! Following a log that nothing happens to.

use std::time::Duration;

use crate::stage::Stage;

async fn follows(shards: i16, settings: &[&str]) {
    let mut stage = Stage::new(shards).await;
    stage.world.happens(100).await;
    let projector = stage.start(settings);
    stage.is_right().await;
    for _ in 0..5 {
        stage.world.happens(20).await;
        stage.world.ring().await;
    }
    stage.is_right().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_becomes_what_the_log_says() {
    follows(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shard_is_followed() {
    follows(4, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_event_come_to_the_same() {
    follows(1, &["--page-events-max=1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_everything_works() {
    follows(1, &["--listen=false"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_is_shown_as_empty() {
    let stage = Stage::new(1).await;
    let _projector = stage.start(&[]);
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_heard_before_the_next_poll() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let _projector = stage.start(&["--poll-interval-ms=600000", "--refresh-interval-ms=600000"]);
    stage.caught_up().await;
    stage.world.happens(10).await;
    stage.world.ring().await;
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_comes_while_the_log_is_read_is_not_lost() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let _projector = stage.start(&["--poll-interval-ms=600000", "--refresh-interval-ms=600000"]);
    stage.caught_up().await;
    let id = stage.world.account(0);
    let bell = stage.world.admin().await;
    let ring = async || bell.client.batch_execute("NOTIFY counterfoil_events").await.unwrap();
    for _ in 0..300 {
        stage.world.deposit(&id, 1);
        ring().await; // the log is read, and has nothing yet
        stage.world.append().await;
        ring().await;
        stage.caught_up().await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_while_nobody_listened_is_read_when_somebody_does() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let _projector = stage.start(&["--poll-interval-ms=600000", "--refresh-interval-ms=600000"]);
    stage.caught_up().await;
    let listeners = "FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'counterfoil-projector/listen'";
    let cut = format!("SELECT pg_terminate_backend(pid, 5000) {listeners}");
    for _ in 0..3 {
        stage.world.sql(&cut).await;
        stage.world.happens(3).await; // and rings for nobody
        stage.caught_up().await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_to_the_log_are_made_again() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    for name in ["listen", "tail", "listen", "tail"] {
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'counterfoil-projector/{name}'"
        );
        stage.world.sql(&cut).await;
        stage.world.happens(10).await;
        stage.world.ring().await;
        stage.caught_up().await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_log_is_known_to_be_included() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let marker = async || {
        stage.reader.marker(read_model::View::Accounts, ledger::Shard::ZERO).await.unwrap()
    };
    stage.until("a stamp is included", async || marker().await.complete_at_ms().is_some()).await;
    let first = marker().await.complete_at_ms().unwrap();
    stage
        .until("the stamp is renewed", async || {
            marker().await.complete_at_ms().is_some_and(|at| at > first)
        })
        .await;
    assert_eq!(projector.get("/readyz").await.0, 200);
    assert!(projector.metric("projected_events_total").await >= 10.0);
    assert!(projector.metric("lag_events").await.abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_entries_are_kept_if_so_set() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(10).await;
    let _projector = stage.start(&["--statement-entries-max=70", "--page-events-max=40"]);
    for _ in 0..300 {
        stage.world.everybody_gets_money().await;
    }
    stage.caught_up().await;
    for findings in stage.findings().await {
        assert_eq!(findings.count, 0, "{:#?}", findings.mismatches);
    }
    let id = stage.world.account(0);
    let kept = stage.statement(&id).await;
    let all = &stage.world.accounts[&id].movements;
    assert!(kept.len() >= 70 && kept.len() < 70 + 64, "{}", kept.len());
    assert_eq!(kept, all[all.len() - kept.len()..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_starts_before_its_servers_can_be_reached_goes_on_when_they_can() {
    let redis = dev_servers::Redis::start_private().await.unwrap();
    let world = crate::world::World::new(1).await;
    let mut stage = Stage::on(&redis.url(), "cf", world).await;
    stage.world.happens(10).await;
    redis.kill().await.unwrap();
    let projector = stage.start(&["--redis-timeout-ms=300"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!projector.has_ended());
    assert_eq!(projector.get("/readyz").await.0, 503);
    redis.restart().await.unwrap();
    stage.is_right().await;
    stage.until("ready", async || projector.get("/readyz").await.0 == 200).await;
}

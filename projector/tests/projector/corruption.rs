//! A log that contradicts itself or the read model stops the projection, loudly and exactly there; an
//! operator's word starts it again.

use std::time::{Duration, Instant};

use event_store::{LogReader, migrate, start_new_incarnation};
use ledger::{Position, Shard};
use read_model::{Checkpoint, View};

use crate::{
    stage::{Running, Stage},
    world::World,
};

pub(crate) async fn stopped(stage: &Stage, projector: &Running) {
    let says_so = async || {
        let (status, reason) = projector.get("/readyz").await;
        status == 503 && reason.contains("LEDGER_CORRUPT")
    };
    stage.until("not ready, because the log is corrupt", says_so).await;
    assert!(projector.metric("projection_stopped").await >= 1.0);
    assert!(!projector.has_ended());
}

async fn position(stage: &Stage, view: View) -> Position {
    stage.reader.marker(view, Shard::ZERO).await.unwrap().checkpoint.position
}

/// The position of the last event before which everything is as it was written.
async fn edit_last_batch(stage: &mut Stage) -> Position {
    let before = stage.world.head(Shard::ZERO);
    let edit = "UPDATE counterfoil.events SET reference = 'edited' WHERE position = (SELECT max(position) FROM counterfoil.events)";
    stage.world.everybody_gets_money().await;
    stage.world.tamper(edit).await;
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_stops_every_view_right_before_it() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let before = edit_last_batch(&mut stage).await;
    stage.world.happens(20).await;
    let projector = stage.start(&[]);
    stopped(&stage, &projector).await;
    for view in View::ALL {
        let status = stage.reader.view_status(view, Shard::ZERO).await.unwrap();
        let built = status.building.or(status.visible).unwrap();
        assert_eq!(built.checkpoint.unwrap().position, before, "{view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_readable_stays_readable_when_the_log_is_corrupt_behind_it() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector =
        stage.start(&["--poll-interval-ms=60000", "--listen=false", "--refresh-interval-ms=60000"]);
    stage.caught_up().await;
    projector.stop().await;
    let before = edit_last_batch(&mut stage).await;
    let projector = stage.start(&[]);
    stopped(&stage, &projector).await;
    for view in View::ALL {
        assert_eq!(position(&stage, view).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_stopped_view_grows_until_it_can_go_on() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    projector.stop().await;
    edit_last_batch(&mut stage).await;

    // Of all views; none has more than the others.
    let lag = async |projector: &Running| projector.metric("lag_seconds").await / 3.0;
    for _ in 0..2 {
        let started = Instant::now();
        let projector = stage.start(&[]);
        stopped(&stage, &projector).await;
        let seen = lag(&projector).await;
        assert!(seen <= started.elapsed().as_secs_f64(), "{seen}: longer than it was looked at");
        for seconds in [1.0, 2.0] {
            let grows = async || lag(&projector).await >= seconds;
            stage.until("the lag grows with time", grows).await;
        }
        assert!(lag(&projector).await <= started.elapsed().as_secs_f64());
        projector.stop().await;
    }

    let projector = stage.start(&[]);
    stopped(&stage, &projector).await;
    let mend = "UPDATE counterfoil.events SET reference = 'reference 1'
         WHERE position = (SELECT max(position) FROM counterfoil.events)";
    stage.world.tamper(mend).await;
    stage.caught_up().await;
    stage.until("there is no lag", async || lag(&projector).await <= 0.0).await;
}

/// Cuts the log back to before the last `batches` batches, as restoring an older backup does.
pub(crate) async fn go_back(stage: &mut Stage, batches: i32) {
    let cut = format!(
        "DELETE FROM counterfoil.batches WHERE first_position IN
             (SELECT first_position FROM counterfoil.batches ORDER BY first_position DESC LIMIT {batches});
         DELETE FROM counterfoil.events WHERE position > (SELECT max(last_position) FROM counterfoil.batches)"
    );
    stage.world.tamper(&cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_gone_back_stops_the_projection_until_it_is_declared_to_be_another_one() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let included = position(&stage, View::Accounts).await;
    go_back(&mut stage, 2).await;
    stopped(&stage, &projector).await;
    assert_eq!(position(&stage, View::Accounts).await, included, "nothing is taken back silently");

    let identity = start_new_incarnation(&stage.world.database_url).await.unwrap();
    let log = LogReader::connect(&stage.world.database_url, "test").await.unwrap();
    let head = log.head(Shard::ZERO).await.unwrap().unwrap();
    assert!(head.link.position < included);
    let shows_the_new_log = async || {
        let status = stage.reader.status(stage.shards()).await.unwrap();
        status.iter().all(|status| {
            let checkpoint = status.visible.and_then(|visible| visible.checkpoint);
            checkpoint.is_some_and(|checkpoint| {
                checkpoint.log_id == identity.log_id && checkpoint.position == head.link.position
            })
        })
    };
    stage.until("the new log is shown", shows_the_new_log).await;
    stage.until("ready again", async || projector.get("/readyz").await.0 == 200).await;
    for findings in stage.findings().await {
        assert_eq!(findings.count, 0, "{:?}", findings.mismatches);
    }
    assert_eq!(stage.reader.log().await.unwrap().unwrap().log_id, identity.log_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_another_history_of_the_same_length_is_noticed() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let rewrite = "UPDATE counterfoil.batches SET hash = sha256('another history')
         WHERE last_position = (SELECT max(last_position) FROM counterfoil.batches)";
    stage.world.tamper(rewrite).await;
    stopped(&stage, &projector).await;
    // As far as the log, and yet not known to be what is in it; also across a restart.
    let marker = async || stage.reader.marker(View::Accounts, Shard::ZERO).await.unwrap();
    let nothing_is_known = async || marker().await.complete_at_ms().is_none();
    stage.until("nothing is known to be complete", nothing_is_known).await;
    projector.stop().await;
    let projector = stage.start(&[]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert!(nothing_is_known().await);
    }
    stopped(&stage, &projector).await;
    let marker = marker().await;
    assert_eq!(marker.head.unwrap().position, marker.checkpoint.position, "how far the log goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_another_way_is_noticed_also_when_it_has_come_further() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let before = stage.world.memory();
    stage.world.everybody_gets_money().await;
    let projector = stage.start(&["--sweep-accounts-per-second=100000"]);
    stage.caught_up().await;
    let included = position(&stage, View::Accounts).await;
    projector.stop().await;
    go_back(&mut stage, 1).await;
    stage.world.go_back_to(before);
    for id in stage.world.accounts.keys().cloned().collect::<Vec<_>>() {
        stage.world.deposit(&id, 2);
    }
    stage.world.append().await;
    stage.world.happens(20).await;
    let projector = stage.start(&["--sweep-accounts-per-second=100000"]);
    stopped(&stage, &projector).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // some passes of the sweep
    stopped(&stage, &projector).await;
    for view in View::ALL {
        assert_eq!(position(&stage, view).await, included, "{view} is as it was");
    }
}

/// Edits what a view claims to include.
async fn edit_checkpoint(stage: &Stage, view: View, edit: impl Fn(&mut Checkpoint)) {
    let marker = stage.reader.marker(view, Shard::ZERO).await.unwrap();
    let mut checkpoint = marker.checkpoint;
    edit(&mut checkpoint);
    let names = stage.reader.keys().view(view, Shard::ZERO).generation(marker.generation);
    stage.set(&names.checkpoint(), &checkpoint.encode()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_others_disprove_is_given_up_and_the_view_built_anew() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let edits: [fn(&mut Checkpoint); 3] = [
        |checkpoint| checkpoint.hash = [7; 32],
        |checkpoint| checkpoint.position = Position::ZERO,
        |checkpoint| checkpoint.position = Position::ZERO.plus(7),
    ];
    for view in View::ALL {
        for edit in edits {
            let old = stage.visible(view).await;
            edit_checkpoint(&stage, view, edit).await;
            stage.world.happens(5).await;
            let is_new = async || {
                let status = stage.reader.view_status(view, Shard::ZERO).await.unwrap();
                status.visible.is_some_and(|visible| visible.generation > old)
            };
            stage.until("another generation", is_new).await;
            stage.is_right().await;
        }
    }
    stage.until("ready", async || projector.get("/readyz").await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_nothing_disproves_stop_the_projection_until_a_rebuild_is_asked_for() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    // One that is ahead of the log looks like a log that was cut off.
    edit_checkpoint(&stage, View::Accounts, |it| it.position = it.position.plus(1000)).await;
    stopped(&stage, &projector).await;
    stage.writer.request_rebuild(View::Accounts, Shard::ZERO).await.unwrap();
    stage.world.happens(5).await;
    stage.is_right().await;
    // All of them together look like a log that has another history.
    let status = stage.writer.status(View::Totals, Shard::ZERO).await.unwrap();
    let mut genesis = status.visible.unwrap().checkpoint.unwrap();
    (genesis.position, genesis.hash) =
        (Position::ZERO, stage.world.identity.genesis(Shard::ZERO).hash);
    genesis.recorded_at = None;
    for view in View::ALL {
        edit_checkpoint(&stage, view, |it| it.hash = [7; 32]).await;
    }
    stopped(&stage, &projector).await;
    // What is being built already is no obstacle.
    stage.writer.begin(&status, &genesis).await.unwrap().unwrap();
    for view in View::ALL {
        stage.writer.request_rebuild(view, Shard::ZERO).await.unwrap();
    }
    stage.world.happens(5).await;
    stage.is_right().await;
    stage.until("ready", async || projector.get("/readyz").await.0 == 200).await;
    for status in stage.reader.status(stage.shards()).await.unwrap() {
        assert!(!status.rebuild_requested && status.building.is_none(), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_belongs_to_another_living_log_is_left_alone() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let owner = stage.start(&[]);
    stage.caught_up().await;
    let other_url = dev_servers::TestServers::get().database().await;
    migrate(&other_url, None).await.unwrap();
    let other_world = World::at(other_url, 1).await;
    let other = Stage::on(&stage.store.redis_url, &stage.store.key_prefix, other_world).await;
    let intruder = other.start(&[]);
    let refused = async || intruder.get("/readyz").await.1.contains("belongs to log");
    stage.until("the intruder is refused", refused).await;
    stage.world.happens(20).await;
    stage.is_right().await;
    assert_eq!(owner.get("/readyz").await.0, 200);
    assert!(intruder.metric("generations_begun_total").await.abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_refused_at_the_start() {
    let redis = dev_servers::Redis::start_private().await.unwrap();
    let stage = Stage::on(&redis.url(), "cf", World::new(1).await).await;
    stage.redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let projector = stage.start(&[]);
    stage.until("the projector has ended", async || projector.has_ended()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_copies_another_is_not_written_and_said_to_be_one() {
    let redis = dev_servers::Redis::start_private().await.unwrap();
    let mut stage = Stage::on(&redis.url(), "cf", World::new(1).await).await;
    stage.world.happens(20).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    stage.redis(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let says_so = async || {
        let (status, reason) = projector.get("/readyz").await;
        status == 503 && reason.contains("Redis is a replica")
    };
    stage.until("not ready, because Redis is a replica", says_so).await;
    stage.redis(&["REPLICAOF", "NO", "ONE"]).await;
    stage.until("ready again", async || projector.get("/readyz").await.0 == 200).await;
    stage.is_right().await;
}

//! Generations are built in strides, many chunks each; whatever happens within one, none of it is lost.

use dev_servers::Redis;
use ledger::Shard;
use read_model::View;

use crate::{
    corruption::{go_back, stopped},
    healing::{copy_all, restore_all},
    stage::{Running, Stage},
    world::World,
};

/// Strides of some ten events, and chunks of two changes.
const SMALL: [&str; 2] = ["--stride-kib=4", "--page-events-max=1"];
/// All of the log in one stride, and chunks of two changes.
const LONG: [&str; 2] = ["--stride-kib=4096", "--page-events-max=1"];

async fn stage(events: usize) -> Stage {
    let mut stage = Stage::new(1).await;
    stage.world.happens(events).await;
    stage
}

async fn on_private_redis(events: usize) -> (Redis, Stage) {
    let redis = Redis::start_private().await.unwrap();
    let mut stage = Stage::on(&redis.url(), "cf", World::new(1).await).await;
    stage.world.happens(events).await;
    (redis, stage)
}

/// Views of which a stride is half stored.
async fn being_filled(stage: &Stage) -> Vec<View> {
    let Ok(status) = stage.reader.status(stage.shards()).await else { return Vec::new() };
    status.iter().filter(|status| status.filling.is_some()).map(|status| status.view).collect()
}

/// Starts a projector and kills it when it has stored some of a stride.
async fn killed_within_a_stride(stage: &Stage, settings: &[&str]) {
    for _ in 0..100 {
        let projector = stage.start(settings);
        while being_filled(stage).await.is_empty() && !stage.is_caught_up().await {
            tokio::task::yield_now().await;
        }
        kill(projector).await;
        if !being_filled(stage).await.is_empty() {
            return;
        }
        for view in View::ALL {
            stage.writer.request_rebuild(view, Shard::ZERO).await.unwrap();
        }
    }
    panic!("no projector was ever killed within a stride");
}

async fn kill(projector: Running) {
    drop(projector);
    // What it has sent arrives, as it does when a process is killed.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

async fn is_right_and_clean(stage: &Stage) {
    stage.is_right().await;
    assert_eq!(stage.keys(":filling").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_strides_of_many_chunks_come_to_the_same() {
    let stage = stage(300).await;
    let projector = stage.start(&SMALL);
    is_right_and_clean(&stage).await;
    assert!(projector.metric("stored_strides_total").await > 15.0);
    for view in View::ALL {
        let old = stage.visible(view).await;
        stage.writer.request_rebuild(view, Shard::ZERO).await.unwrap();
        stage.until("another generation", async || stage.visible(view).await != old).await;
    }
    is_right_and_clean(&stage).await;
    assert!(projector.metric("generation_differences_total").await.abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_entries_are_kept_also_if_a_stride_outgrows_blocks() {
    let mut stage = stage(10).await;
    for _ in 0..300 {
        stage.world.everybody_gets_money().await;
    }
    for settings in [SMALL, LONG] {
        let prefix = dev_servers::TestServers::get().redis_prefix();
        stage = Stage::on(&stage.store.redis_url, &prefix, stage.world).await;
        let _projector = stage.start(&[&settings[..], &["--statement-entries-max=70"]].concat());
        stage.caught_up().await;
        for findings in stage.findings().await {
            assert_eq!(findings.count, 0, "{:#?}", findings.mismatches);
        }
        let id = stage.world.account(0);
        let kept = stage.statement(&id).await;
        assert!(kept.len() >= 70 && kept.len() < 70 + 64, "{}", kept.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stride_that_was_cut_off_by_a_kill_is_begun_anew() {
    for settings in [SMALL, LONG] {
        let mut stage = stage(200).await;
        for _ in 0..3 {
            killed_within_a_stride(&stage, &settings).await;
            stage.world.happens(20).await;
        }
        // Also by one whose strides end elsewhere.
        killed_within_a_stride(&stage, &LONG).await;
        let _survivor = stage.start(&SMALL);
        is_right_and_clean(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_goes_back_within_a_stride_is_filled_again() {
    let (_redis, stage) = on_private_redis(400).await;
    let mut went_back = 0;
    for round in 0..8 {
        stage.redis(&["FLUSHALL"]).await;
        let projector = stage.start(&LONG);
        while being_filled(&stage).await.is_empty() && !stage.is_caught_up().await {
            tokio::task::yield_now().await;
        }
        let copy = copy_all(&stage).await;
        tokio::time::sleep(std::time::Duration::from_millis(round)).await;
        went_back += usize::from(!being_filled(&stage).await.is_empty());
        restore_all(&stage, &copy).await;
        is_right_and_clean(&stage).await;
        projector.stop().await;
    }
    assert!(went_back > 0, "never within a stride");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_lost_with_their_connection_are_missed() {
    let (_redis, stage) = on_private_redis(400).await;
    let _projector = stage.start(&SMALL);
    for _ in 0..50 {
        stage.redis(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        tokio::time::sleep(std::time::Duration::from_millis(7)).await;
    }
    is_right_and_clean(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_that_build_the_same_generations_do_no_harm() {
    let mut stage = stage(300).await;
    let _both = [stage.start(&SMALL), stage.start(&LONG)];
    stage.world.happens(50).await;
    is_right_and_clean(&stage).await;
    for view in View::ALL {
        let old = stage.visible(view).await;
        stage.writer.request_rebuild(view, Shard::ZERO).await.unwrap();
        stage.until("another generation", async || stage.visible(view).await != old).await;
    }
    is_right_and_clean(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_dropped_while_it_is_filled_is_gone() {
    let stage = stage(300).await;
    let _projector = stage.start(&LONG);
    stage.caught_up().await;
    let mut dropped = Vec::new();
    for _ in 0..20 {
        stage.writer.request_rebuild(View::Transactions, Shard::ZERO).await.unwrap();
        let begun = async || {
            let status = stage.reader.view_status(View::Transactions, Shard::ZERO).await.unwrap();
            status.filling.is_some().then(|| status.building.unwrap().generation)
        };
        stage
            .until("a stride is being stored", async || {
                dropped.extend(begun().await);
                !dropped.is_empty()
            })
            .await;
        let generation = *dropped.last().unwrap();
        let writer = &stage.writer;
        if writer.drop_generation(View::Transactions, Shard::ZERO, generation).await.unwrap() {
            let left = format!("transactions.3:{generation}:");
            assert_eq!(stage.keys(&left).await, [""; 0]);
            stage.is_right().await;
            return;
        }
        dropped.clear();
    }
    panic!("never dropped within a stride");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_log_that_has_gone_back_are_not_taken_for_those_of_the_log_that_is_left() {
    let mut stage = stage(200).await;
    while being_filled(&stage).await != [View::Transactions] {
        let prefix = dev_servers::TestServers::get().redis_prefix();
        stage = Stage::on(&stage.store.redis_url, &prefix, stage.world).await;
        let projector = stage.start(&LONG);
        while being_filled(&stage).await != [View::Transactions] && !stage.is_caught_up().await {
            tokio::task::yield_now().await;
        }
        kill(projector).await;
    }
    // Nothing else in Redis has ever been as far.
    for view in [View::Accounts, View::Totals] {
        for key in stage.keys(&format!("{view}.1:")).await {
            stage.redis(&["DEL", &key]).await;
        }
    }
    go_back(&mut stage, 2).await;
    let projector = stage.start(&LONG);
    stopped(&stage, &projector).await;
}

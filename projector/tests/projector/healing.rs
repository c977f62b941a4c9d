//! Redis forgets, goes back, or holds what is not ours: the read model is built anew or goes on from where Redis is.

use dev_servers::Redis;
use ledger::Shard;
use read_model::View;

use crate::{
    stage::{Running, Stage},
    world::World,
};

async fn private() -> (Redis, Stage) {
    let redis = Redis::start_private().await.unwrap();
    let world = World::new(1).await;
    let mut stage = Stage::on(&redis.url(), "cf", world).await;
    stage.world.happens(60).await;
    (redis, stage)
}

/// Whether everybody who has asked since the last call was told nothing but the truth or nothing at all.
async fn ask_on(stage: &Stage, until: &std::sync::atomic::AtomicBool) -> usize {
    let mut answered = 0;
    let known: Vec<_> = stage.world.accounts.iter().map(|(id, a)| (id.clone(), a.state)).collect();
    while !until.load(std::sync::atomic::Ordering::Relaxed) {
        for (id, state) in &known {
            if let Ok(read) = stage.reader.accounts(Shard::ZERO, std::slice::from_ref(id)).await {
                let view = read.value[0].as_ref();
                if read.marker.checkpoint.position >= stage.world.head(Shard::ZERO) {
                    assert_eq!(view.unwrap().state, *state, "{id} at the head");
                }
                answered += 1;
            }
        }
        tokio::task::yield_now().await;
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_filled_again_and_meanwhile_nothing_wrong_is_answered() {
    let (_redis, stage) = private().await;
    let _projector = stage.start(&["--page-events-max=5"]);
    stage.caught_up().await;
    for _ in 0..5 {
        let done = std::sync::atomic::AtomicBool::new(false);
        let heal = async {
            stage.redis(&["FLUSHALL"]).await;
            stage.caught_up().await;
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::join!(heal, ask_on(&stage, &done));
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed_again_and_again_under_load_is_healed() {
    let (_redis, mut stage) = private().await;
    let _projector = stage.start(&["--page-events-max=5"]);
    for _ in 0..20 {
        stage.world.happens(10).await;
        stage.redis(&["FLUSHALL"]).await;
        stage.world.happens(10).await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_under_load_is_healed() {
    let (redis, mut stage) = private().await;
    let _projector = stage.start(&["--page-events-max=5", "--redis-timeout-ms=500"]);
    for _ in 0..4 {
        stage.world.happens(20).await;
        redis.kill().await.unwrap();
        stage.world.happens(20).await;
        redis.restart().await.unwrap();
        stage.world.happens(20).await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_goes_back_to_an_older_copy_goes_on_from_there() {
    let (_redis, mut stage) = private().await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let copy = copy_all(&stage).await;
    let mut generations = Vec::new();
    for view in View::ALL {
        generations.push((view, stage.visible(view).await));
    }
    stage.world.happens(60).await;
    stage.caught_up().await;
    restore_all(&stage, &copy).await;
    stage.is_right().await;
    for (view, generation) in generations {
        assert_eq!(stage.visible(view).await, generation, "{view} was built anew");
    }
    projector.stop().await;
}

/// All at one moment, as a server that saves its data does.
pub(crate) async fn copy_all(stage: &Stage) -> Vec<(String, Vec<u8>)> {
    let copy = "local copy = {}
        for i, key in ipairs(redis.call('KEYS', '*')) do
          copy[2 * i - 1] = key
          copy[2 * i] = redis.call('DUMP', key)
        end
        return copy";
    let copy = stage.redis(&["EVAL", copy, "0"]).await;
    redis::FromRedisValue::from_redis_value(copy).unwrap()
}

/// All at once, as a server that starts with an old file does.
pub(crate) async fn restore_all(stage: &Stage, copy: &[(String, Vec<u8>)]) {
    let client = redis::Client::open(stage.store.redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("FLUSHALL").ignore();
    for (key, value) in copy {
        pipeline.cmd("RESTORE").arg(key).arg(0).arg(value).ignore();
    }
    let () = pipeline.query_async(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_means_a_new_generation_and_not_a_second_run_over_the_old_one() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _projector = stage.start(&["--retired-grace-ms=0"]);
    stage.caught_up().await;
    for view in View::ALL {
        let old = stage.visible(view).await;
        let names = stage.reader.keys().view(view, Shard::ZERO).generation(old);
        stage.redis(&["DEL", &names.checkpoint()]).await;
        stage.world.happens(5).await;
        stage.caught_up().await;
        assert!(stage.visible(view).await > old);
        let old = format!("{view}.1:{old}:");
        stage.until("the old keys are gone", async || stage.keys(&old).await.is_empty()).await;
    }
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_pointer_means_a_new_generation_and_the_old_keys_go() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let old = stage.visible(View::Accounts).await;
    projector.stop().await;
    let names = stage.reader.keys().view(View::Accounts, Shard::ZERO);
    stage.redis(&["DEL", &names.visible()]).await;
    let projector = stage.start(&[]);
    stage.is_right().await;
    assert!(stage.visible(View::Accounts).await > old);
    projector.stop().await;
    let _cleans_up_when_it_starts = stage.start(&[]);
    let old = format!("accounts.1:{old}:");
    stage.until("the old keys are gone", async || stage.keys(&old).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_that_cannot_be_any_are_forgotten_and_views_built_anew() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&["--sweep-accounts-per-second=100000"]);
    stage.caught_up().await;
    let names = stage.reader.keys().view(View::Accounts, Shard::ZERO);
    let status = async || stage.reader.view_status(View::Accounts, Shard::ZERO).await.unwrap();
    for key in [names.visible(), names.building(), names.retired(), names.rebuild()] {
        let far = i64::MAX.to_string();
        for value in [None, Some("banana"), Some(""), Some("007 7"), Some(far.as_str())] {
            let old = stage.visible(View::Accounts).await;
            match value {
                Some(value) => stage.redis(&["SET", &key, value]).await,
                None => stage.redis(&["EVAL", OF_ANOTHER_TYPE, "1", &key]).await,
            };
            stage.world.happens(5).await;
            stage.is_right().await;
            if key == names.visible() {
                let visible = stage.visible(View::Accounts).await;
                assert!(visible > old, "{visible} was begun after {old}");
            }
        }
        // An operator can still ask for a rebuild.
        let old = stage.visible(View::Accounts).await;
        stage.redis(&["EVAL", OF_ANOTHER_TYPE, "1", &key]).await;
        stage.writer.request_rebuild(View::Accounts, Shard::ZERO).await.unwrap();
        let is_new = async || {
            let visible = stage.reader.view_status(View::Accounts, Shard::ZERO).await.unwrap();
            visible.visible.is_some_and(|visible| visible.generation > old)
        };
        stage.until("another generation", is_new).await;
    }
    // The generation that queries see is neither built nor has it been replaced.
    for key in [names.building(), names.retired()] {
        let visible = stage.visible(View::Accounts).await.to_string();
        stage
            .redis(&[
                "SET",
                &key,
                &format!("{visible}{}", if key == names.retired() { " 7" } else { "" }),
            ])
            .await;
        stage.world.happens(5).await;
        stage.is_right().await;
        let is_gone = async || {
            let status = status().await;
            let visible = status.visible.map(|visible| visible.generation);
            let others = [status.building, status.retired].into_iter().flatten();
            !others.into_iter().any(|other| Some(other.generation) == visible)
        };
        stage.until("it is the visible one only", is_gone).await;
    }
    // What the lost pointers named goes away.
    let left = async || {
        let status = status().await;
        let known = [status.visible, status.building, status.retired].into_iter().flatten();
        let known: Vec<_> =
            known.map(|known| format!("accounts.1:{}:", known.generation)).collect();
        let mut keys = stage.keys("accounts.1:").await;
        keys.retain(|key| key.ends_with(":checkpoint"));
        keys.retain(|key| !known.iter().any(|known| key.contains(known)));
        keys
    };
    stage.until("the old generations are gone", async || left().await.is_empty()).await;
    projector.stop().await;
}

const OF_ANOTHER_TYPE: &str = "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')";

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_another_type_are_replaced() {
    let (_redis, mut stage) = private().await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    let keys = stage.reader.keys().clone();
    for view in View::ALL {
        let visible = keys.view(view, Shard::ZERO).generation(stage.visible(view).await);
        for key in [visible.checkpoint(), keys.head(Shard::ZERO), keys.log()] {
            stage.redis(&["EVAL", OF_ANOTHER_TYPE, "1", &key]).await;
            stage.world.happens(5).await;
            let is_ours = async || {
                stage.redis(&["TYPE", &keys.log()]).await
                    == redis::Value::SimpleString("string".into())
            };
            stage.until("the read model says whose it is", is_ours).await;
            stage.is_right().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind_in_the_way_costs_a_generation_and_no_answer() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector: Running = stage.start(&[]);
    stage.caught_up().await;
    let id = stage.world.account(0);
    let old = stage.visible(View::Transactions).await;
    let names = stage.reader.keys().view(View::Transactions, Shard::ZERO).generation(old);
    let block = names.block(&id, stage.world.accounts[&id].state.version.next());
    stage.redis(&["DEL", &block]).await;
    stage.redis(&["SET", &block, "not a hash"]).await;
    stage.world.everybody_gets_money().await;
    stage.is_right().await;
    assert!(stage.visible(View::Transactions).await > old);
    assert!(projector.metric("projector_errors_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_totals_are_not_folded_on_from_nothing() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    let old = stage.visible(View::Totals).await;
    let names = stage.reader.keys().view(View::Totals, Shard::ZERO).generation(old);
    stage.redis(&["DEL", &names.totals()]).await;
    // Only what is read anew can be missed.
    stage
        .until("another generation of the totals", async || stage.visible(View::Totals).await > old)
        .await;
    stage.world.happens(20).await;
    stage.is_right().await;
}

//! Redis, and what it holds.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use dev_servers::Redis;
use tokio::time::sleep;

use super::{Stage, services::stands_still};
use crate::{
    dice::Dice,
    system::{host, on_redis},
    traffic::QUIET_ACCOUNT,
};

/// A pass of the sweep over what a run makes takes some seconds.
const REPAIRED_WITHIN: Duration = Duration::from_secs(40);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a Redis of a run takes to copy another.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// Reached: the kernel says that it stands still.
pub(super) async fn pause(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let paused = stage.redis.pause().is_ok();
    sleep(hold).await;
    let stood_still = stage.redis.pid().is_some_and(stands_still);
    stage.redis.resume().is_ok() && paused && stood_still
}

/// Reached: it ran, and wrote what it was given when it was to.
pub(super) async fn kill(stage: &Stage, down: Duration) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let writes_as_asked = stage.set_fsync().await;
    kill_and_start(stage, down).await && writes_as_asked
}

async fn kill_and_start(stage: &Stage, down: Duration) -> bool {
    let ran = stage.redis.is_running();
    let killed = stage.redis.kill().await.is_ok();
    sleep(down).await;
    if let Err(error) = stage.redis.restart().await {
        stage.tally.accident(format!("Redis does not start again: {error}"));
    }
    stage.set_fsync().await;
    ran && killed
}

/// Reached: there was something to lose.
pub(super) async fn flush(stage: &Stage) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let size: i64 = stage.on_redis(&["DBSIZE"]).await.unwrap_or_default();
    stage.on_redis::<String>(&["FLUSHALL"]).await.is_ok() && size > 0
}

/// Deletes the account that nobody writes to. Reached: the sweep has put it back.
pub(super) async fn delete_key(stage: &Stage) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let Some((key, _)) = quiet_account(stage).await else { return false };
    edited_until_repaired(stage, &["DEL", &key]).await
}

/// Puts another account's value in the place of the one that nobody writes to. Reached: the sweep has put it right.
pub(super) async fn edit_balance(stage: &Stage) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let Some((key, _)) = quiet_account(stage).await else { return false };
    let other = key.replace(QUIET_ACCOUNT, "account-1");
    edited_until_repaired(stage, &["COPY", &other, &key, "REPLACE"]).await
}

/// Key and value of the account that nobody writes to, in the generation that queries see. One that is rebuilt has another key.
async fn quiet_account(stage: &Stage) -> Option<(String, Vec<u8>)> {
    let pattern = format!("*:accounts.1:*:a:{QUIET_ACCOUNT}");
    let keys: Vec<String> = stage.on_redis(&["KEYS", &pattern]).await.ok()?;
    for key in keys {
        let (view, rest) = key.split_once("accounts.1:")?;
        let pointer = format!("{view}accounts.1:generation");
        let visible: Option<String> = stage.on_redis(&["GET", &pointer]).await.ok()?;
        if visible.as_deref() == rest.split(':').next() {
            let value: Option<Vec<u8>> = stage.on_redis(&["GET", &key]).await.ok()?;
            return Some((key.clone(), value?));
        }
    }
    None
}

async fn edited_until_repaired(stage: &Stage, edit: &[&str]) -> bool {
    let Some((_, before)) = quiet_account(stage).await else { return false };
    let from = stage.history.now();
    let edited: i64 = stage.on_redis(edit).await.unwrap_or_default();
    let begun = Instant::now();
    let mut repaired = false;
    while !repaired && begun.elapsed() < REPAIRED_WITHIN {
        sleep(LOOK_INTERVAL).await;
        repaired = quiet_account(stage).await.is_some_and(|(_, value)| value == before);
    }
    // A read that was under way when it was repaired may still have seen the edit.
    sleep(LOOK_INTERVAL * 2).await;
    stage.tally.tampered(QUIET_ACCOUNT, from, stage.history.now());
    if !repaired {
        stage.tally.accident(format!("the sweep has not repaired {edit:?}"));
    }
    edited == 1 && repaired
}

/// Deletes the checkpoint of a view that queries see. Reached: it was there.
pub(super) async fn delete_checkpoint(stage: &Stage, dice: &mut Dice) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let keys: Vec<String> =
        stage.on_redis(&["KEYS", "cf:v1:*:checkpoint"]).await.unwrap_or_default();
    if keys.is_empty() {
        return false;
    }
    let key: &String = dice.pick(&keys);
    let deleted: i64 = stage.on_redis(&["DEL", key]).await.unwrap_or_default();
    deleted == 1
}

/// Takes a snapshot, goes on for a while, kills Redis, and starts it with the snapshot. Reached: it came back with less than it had.
pub(super) async fn restore(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let Some(snapshot) = snapshot_file(stage).await else { return false };
    let saved = stage.on_redis::<String>(&["SAVE"]).await.is_ok();
    let before = stage.history.applied();
    sleep(hold.max(Duration::from_millis(500))).await;
    let went_on = stage.history.applied() > before;
    let was_there = snapshot.is_file();
    let killed = kill_and_start(stage, Duration::from_millis(50)).await;
    let size: i64 = stage.on_redis(&["DBSIZE"]).await.unwrap_or_default();
    // The next one that is killed has kept nothing again.
    let _ = std::fs::remove_file(snapshot);
    saved && went_on && was_there && killed && size > 0
}

/// A replica that has fallen behind is promoted, and ours becomes its replica, and is promoted again: as a fail-over that loses what
/// was not replicated looks to those who connect by one address. Reached: time went on that the replica knows nothing of.
pub(super) async fn promote_replica(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let Ok(replica) = Redis::start_private().await else { return false };
    let (ours, other) = (stage.redis.url(), replica.url());
    let copied = follow(&other, &ours).await && lead(&other).await;
    let before = stage.history.applied();
    sleep(hold.max(Duration::from_millis(500))).await;
    let went_on = stage.history.applied() > before;
    let followed = copied && follow(&ours, &other).await;
    lead(&ours).await && followed && went_on
}

/// Makes one Redis the replica of another. Whether it has become like it.
async fn follow(url: &str, leader: &str) -> bool {
    let leader = host(leader);
    let Some((host, port)) = leader.rsplit_once(':') else { return false };
    for redis in [url, &format!("redis://{leader}")] {
        let at_once = ["CONFIG", "SET", "repl-diskless-sync-delay", "0"];
        let _: Result<String, _> = on_redis(redis, &at_once).await;
    }
    let _: Result<String, _> = on_redis(url, &["REPLICAOF", host, port]).await;
    let begun = Instant::now();
    while begun.elapsed() < FOLLOWS_WITHIN {
        sleep(LOOK_INTERVAL).await;
        let state: Result<String, _> = on_redis(url, &["INFO", "replication"]).await;
        if state.is_ok_and(|state| state.contains("master_link_status:up")) {
            return true;
        }
    }
    false
}

async fn lead(url: &str) -> bool {
    on_redis::<String>(url, &["REPLICAOF", "NO", "ONE"]).await.is_ok()
}

async fn snapshot_file(stage: &Stage) -> Option<PathBuf> {
    let settings: Vec<String> = stage.on_redis(&["CONFIG", "GET", "dir"]).await.ok()?;
    Some(PathBuf::from(settings.get(1)?).join("dump.rdb"))
}

/// Allows no more memory than is used. Reached: Redis has refused something for it.
pub(super) async fn out_of_memory(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.redis_turn.lock().await;
    let refused = async || {
        let errors: String = stage.on_redis(&["INFO", "errorstats"]).await.unwrap_or_default();
        let count = errors.lines().find_map(|line| line.strip_prefix("errorstat_OOM:count="));
        count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let before = refused().await;
    let _: Result<String, _> = stage.on_redis(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    sleep(hold.max(Duration::from_millis(500))).await;
    let after = refused().await;
    let _: Result<String, _> = stage.on_redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
    after > before
}

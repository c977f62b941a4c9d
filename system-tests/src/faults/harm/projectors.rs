//! Projectors: more of them, without a bell, and while they rebuild.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{Stage, services};
use crate::{
    dice::Dice,
    process::Process,
    system::{counterfoil, projector_settings},
};

/// How many more there are for a while: five together.
const MORE: usize = 3;
/// A rebuild of what a run makes takes a second or two; killed again and again it takes longer.
const REBUILT_WITHIN: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Starts some beside those that are there, and kills them. Reached: they ran while events were projected.
pub(super) async fn more(stage: &Stage, hold: Duration) -> bool {
    let before = stage.history.applied();
    let mut more: Vec<Process> = (0..MORE)
        .map(|number| {
            let settings = projector_settings(&stage.database_url, &stage.redis.url());
            Process::start("projector", &format!("projector-more-{number}"), settings)
        })
        .collect();
    sleep(hold + Duration::from_millis(700)).await;
    let mut ran = true;
    for process in &mut more {
        ran &= process.is_running();
        process.kill().await;
    }
    ran && stage.history.applied() > before
}

/// Restarts all of them without a bell, and with it again. Reached: events were projected without it.
pub(super) async fn mute_bell(stage: &Stage, hold: Duration) -> bool {
    set_bell(stage, false).await;
    let before = stage.history.applied();
    sleep(hold).await;
    let applied = stage.history.applied() > before;
    // Not at once: who has just started reads without being woken until it has come to the end of the log.
    stage.recover("without notifications").await;
    set_bell(stage, true).await;
    applied
}

async fn set_bell(stage: &Stage, listen: bool) {
    for projector in &stage.projectors {
        let mut projector = projector.lock().await;
        projector.kill().await;
        projector.set("PROJECTOR_LISTEN", listen);
        projector.restart();
    }
}

/// Asks for a rebuild of everything and kills projectors while it is done. Reached: all views have a later generation.
pub(super) async fn rebuild(stage: &Stage, dice: &mut Dice) -> bool {
    let before = generations(stage).await;
    let (code, _) = counterfoil(&stage.database_url, &stage.redis.url(), &["rebuild"]).await;
    if code != 0 {
        return false; // Redis, or what it says of the log, was not there to be asked
    }
    for _ in 0..3 {
        sleep(dice.time(Duration::from_millis(30), Duration::from_millis(600))).await;
        services::kill(stage, dice.pick(&stage.projectors), Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < REBUILT_WITHIN {
        let now = generations(stage).await;
        let is_later = |(view, generation): (&String, &i64)| {
            now.get(view).is_some_and(|later| later > generation)
        };
        if !before.is_empty() && before.iter().all(is_later) {
            return true;
        }
        sleep(LOOK_INTERVAL).await;
    }
    false
}

/// The generation of each view that queries see.
async fn generations(stage: &Stage) -> BTreeMap<String, i64> {
    let keys = stage.on_redis::<Vec<String>>(&["KEYS", "cf:v1:*:generation"]).await;
    let mut generations = BTreeMap::new();
    for key in keys.unwrap_or_default() {
        if let Ok(Some(generation)) = stage.on_redis::<Option<i64>>(&["GET", &key]).await {
            generations.insert(key, generation);
        }
    }
    generations
}

//! Postgres, and its backends.

use std::{process::Stdio, time::Duration};

use tokio::{
    process::Command,
    time::{Instant, sleep},
};
use tokio_postgres::SimpleQueryMessage;

use super::{Stage, services::stands_still};
use crate::{dice::Dice, system::as_superuser};

/// How long a Postgres that was told to stop may go on.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Reached: the kernel says that it stands still.
pub(super) async fn pause(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.postgres_turn.lock().await;
    let paused = stage.postgres.pause().is_ok();
    sleep(hold).await;
    let stood_still = stage.postgres.pid().is_some_and(stands_still);
    stage.postgres.resume().is_ok() && paused && stood_still
}

/// Reached: another process serves afterwards.
pub(super) async fn restart(stage: &Stage) -> bool {
    let _turn = stage.postgres_turn.lock().await;
    let before = stage.postgres.pid();
    start(stage).await;
    before.is_some() && stage.postgres.pid() != before
}

/// As `pg_ctl stop -m immediate`.
pub(super) async fn stop_at_once(stage: &Stage, down: Duration) -> bool {
    let _turn = stage.postgres_turn.lock().await;
    let Some(pid) = stage.postgres.pid() else { return false };
    signal("QUIT", pid).await;
    let begun = Instant::now();
    while stage.postgres.is_running() && begun.elapsed() < STOPS_WITHIN {
        sleep(LOOK_INTERVAL).await;
    }
    let stopped = !stage.postgres.is_running();
    sleep(down).await;
    start(stage).await;
    stopped
}

/// The postmaster alone: its backends go on for a moment.
pub(super) async fn kill(stage: &Stage, down: Duration) -> bool {
    let _turn = stage.postgres_turn.lock().await;
    let ran = stage.postgres.is_running();
    let killed = stage.postgres.kill().await.is_ok();
    sleep(down).await;
    start(stage).await;
    ran && killed
}

/// One that serves a service, which makes Postgres end all others. Reached: it was there to be killed.
pub(super) async fn kill_backend(stage: &Stage, dice: &mut Dice) -> bool {
    let _turn = stage.postgres_turn.lock().await;
    let question = "SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'counterfoil%'";
    let pids = numbers(as_superuser(&stage.database_url, question).await);
    if pids.is_empty() {
        return false;
    }
    signal("KILL", *dice.pick(&pids)).await
}

/// Nothing that Postgres has can grow. Where that is its WAL, it ends itself, and cannot always start again before there is
/// room. Reached: it said so.
pub(super) async fn fill_disk(stage: &Stage, hold: Duration) -> bool {
    let Some(disk) = &stage.preload else { return false };
    let _turn = stage.postgres_turn.lock().await;
    let said_so = || {
        let log = std::fs::read_to_string(stage.postgres.log_file()).unwrap_or_default();
        log.matches("No space left on device").count()
    };
    let before = said_so();
    disk.set("postgres", 1);
    sleep(hold.max(Duration::from_secs(2))).await;
    disk.set("postgres", 0);
    if !stage.postgres.is_running() {
        start(stage).await;
    }
    said_so() > before
}

/// Ends those who listen and those who ring, again and again. Reached: some were there.
pub(super) async fn cut_bell(stage: &Stage, hold: Duration) -> bool {
    let begun = Instant::now();
    let mut cut = 0;
    while begun.elapsed() < hold {
        let statement = "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity
            WHERE datname = current_database()
              AND (application_name LIKE 'counterfoil-bell%' OR query LIKE 'LISTEN%')";
        cut += numbers(as_superuser(&stage.database_url, statement).await).len();
        sleep(Duration::from_millis(40)).await;
    }
    cut > 0
}

async fn start(stage: &Stage) {
    if let Err(error) = stage.postgres.restart().await {
        stage.tally.accident(format!("Postgres does not start again: {error}"));
    }
}

async fn signal(signal: &str, pid: u32) -> bool {
    let (signal, pid) = (format!("-{signal}"), pid.to_string());
    let sent = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status().await;
    sent.is_ok_and(|status| status.success())
}

/// The first column of what came back.
fn numbers(answer: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>) -> Vec<u32> {
    let number = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    };
    answer.unwrap_or_default().iter().filter_map(number).collect()
}

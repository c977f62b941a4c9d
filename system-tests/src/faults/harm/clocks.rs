//! Clocks that jump, ahead and back.

use std::time::{Duration, SystemTime};

use service_kit::clock::Clock;
use tokio::time::{Instant, sleep};

use super::Stage;
use crate::{dice::Dice, process::Process, system::as_superuser};

const HOUR: i64 = 3600;
const JUMPS: [i64; 4] = [HOUR, -HOUR, 24 * HOUR, -24 * HOUR];

/// A clock that was set is told from one that goes wrong by itself.
const NEARLY: Duration = Duration::from_secs(60);

/// A service that starts says so by then.
const SAYS_SO_WITHIN: Duration = Duration::from_secs(5);

/// Sets one clock, and back again. A service is also started while its clock is wrong. Reached: the process was seen to have
/// that time.
pub(super) async fn set(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let Some(clocks) = &stage.preload else { return false };
    let by = *dice.pick(&JUMPS);
    let services: Vec<_> = stage.processes().collect();
    match dice.index(2 + services.len()) {
        0 => {
            clocks.set("postgres", by);
            sleep(hold).await;
            let has_jumped = postgres_time(stage).await.is_some_and(|now| is_off_by(now, by));
            clocks.set("postgres", 0);
            has_jumped
        }
        1 => {
            clocks.set("redis", by);
            sleep(hold).await;
            let time = stage.on_redis::<(u64, u64)>(&["TIME"]).await.ok();
            let has_jumped = time.is_some_and(|(seconds, _)| is_off_by(since_1970(seconds), by));
            clocks.set("redis", 0);
            has_jumped
        }
        service => {
            let (name, process) = &services[service - 2];
            clocks.set(name, by);
            sleep(hold / 2).await;
            let has_jumped = started_with(&mut *process.lock().await, by).await;
            sleep(hold / 2).await;
            clocks.set(name, 0);
            has_jumped
        }
    }
}

async fn postgres_time(stage: &Stage) -> Option<SystemTime> {
    let question = "SELECT extract(epoch FROM clock_timestamp())::bigint";
    let rows = as_superuser(&stage.database_url, question).await.ok()?;
    rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok().map(since_1970),
        _ => None,
    })
}

/// Whether the lines that a service logs when it starts have the time that its clock was set to.
async fn started_with(process: &mut Process, by: i64) -> bool {
    let before = process.log_text().len();
    process.kill().await;
    process.restart();
    let begun = Instant::now();
    while begun.elapsed() < SAYS_SO_WITHIN {
        let log = process.log_text();
        let new = log.get(before..).unwrap_or_default();
        let mut times =
            new.split_whitespace().filter_map(|word| humantime::parse_rfc3339(word).ok());
        if let Some(time) = times.next() {
            return is_off_by(time, by);
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

fn since_1970(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Whether a time that was just told is wrong by so many seconds.
fn is_off_by(told: SystemTime, seconds: i64) -> bool {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let now = Clock::system().now();
    let right = if seconds < 0 { now - by } else { now + by };
    let error = told.duration_since(right).unwrap_or_else(|behind| behind.duration());
    error < NEARLY
}

//! The links.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use event_store::fence::APPEND_NAME_PREFIX;
use tokio::time::{sleep, timeout};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{Stage, writers::set};
use crate::{
    dice::Dice,
    proxy::{Mode, Proxy, Ways},
    system::as_superuser,
};

/// How many of a hundred that are decided are sent again after replies were lost, and how long that goes on.
const REPEATED_PERCENT: u64 = 60;
const REPEATS_WITHIN: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How long a fault of a link waits for something to be carried that it can harm.
const REACHES_WITHIN: Duration = Duration::from_secs(3);

/// How long it may take until some write service appends.
const APPENDS_WITHIN: Duration = Duration::from_secs(10);
/// How long an append is made to wait: long enough for its writer to come back, and shorter than Postgres lets it wait.
const WAITS_FOR: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3);

/// The next link in turn.
fn next(stage: &Stage) -> &Proxy {
    let links: Vec<&Proxy> = stage.links.all().map(|(_, link)| link).collect();
    links[stage.next_link.fetch_add(1, Ordering::Relaxed) % links.len()]
}

/// Resets what is open, several times.
pub(super) async fn reset(stage: &Stage, hold: Duration) -> bool {
    let _turn = stage.links_turn.lock().await;
    let link = next(stage);
    let before = link.counts().harm();
    let begun = Instant::now();
    while begun.elapsed() < hold || link.counts().harm() == before {
        link.reset();
        sleep(Duration::from_millis(60)).await;
        if begun.elapsed() > hold + REACHES_WITHIN {
            break;
        }
    }
    link.counts().harm() > before
}

pub(super) async fn black_hole(stage: &Stage, hold: Duration) -> bool {
    hold_in(stage, next(stage), Mode::BlackHole(Ways::Both), hold).await
}

pub(super) async fn half_black_hole(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let ways = *dice.pick(&[Ways::ToServer, Ways::ToClient]);
    hold_in(stage, next(stage), Mode::BlackHole(ways), hold).await
}

pub(super) async fn slow(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let delay = dice.time(Duration::from_millis(5), Duration::from_millis(80));
    hold_in(stage, next(stage), Mode::Delay(delay), hold).await
}

pub(super) async fn trickle(stage: &Stage, hold: Duration) -> bool {
    hold_in(stage, next(stage), Mode::Trickle, hold).await
}

/// Reached: something was carried that it did harm to.
async fn hold_in(stage: &Stage, link: &Proxy, mode: Mode, hold: Duration) -> bool {
    let _turn = stage.links_turn.lock().await;
    let before = link.counts().harm();
    link.set(mode);
    sleep(hold).await;
    wait_for_harm(link, before).await;
    link.set(Mode::Pass);
    link.counts().harm() > before
}

async fn wait_for_harm(link: &Proxy, before: u64) {
    let begun = Instant::now();
    while link.counts().harm() == before && begun.elapsed() < REACHES_WITHIN {
        sleep(LOOK_INTERVAL).await;
    }
}

/// Lets appends through to Postgres and loses what Postgres says to them. Reached: it said something.
pub(super) async fn lose_commit_reply(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let _turn = stage.links_turn.lock().await;
    let link = dice.pick(&stage.links.writer_postgres);
    let before = link.counts().replies_cut.load(Ordering::Relaxed);
    // What was decided is asked for again, mostly, and often of the other writer: was it remembered together with what it did?
    let usual = set(&stage.manners.repeated, REPEATED_PERCENT);
    link.cut_replies(1 + u32::try_from(dice.roll(3)).unwrap_or_default(), APPEND_NAME_PREFIX);
    sleep(hold).await;
    let begun = Instant::now();
    let cut = || link.counts().replies_cut.load(Ordering::Relaxed) > before;
    while !cut() && begun.elapsed() < REACHES_WITHIN {
        sleep(LOOK_INTERVAL).await;
    }
    link.cut_replies(0, "");
    sleep(REPEATS_WITHIN).await;
    set(&stage.manners.repeated, usual);
    cut()
}

/// Lets appends wait for a lock, cuts off the writer of one, and gives the lock free when that writer may have come back and looked for
/// its commands: whatever it was then told, the append that still waits must not happen. Reached: one waited when it was cut off.
pub(super) async fn cut_waiting_append(stage: &Stage, hold: Duration) -> bool {
    let (_postgres, _links) = (stage.postgres_turn.lock().await, stage.links_turn.lock().await);
    let begun = Instant::now();
    // Postgres and writers may still be coming back from something else.
    let (client, connection) = loop {
        match tokio_postgres::connect(&stage.database_url, NoTls).await {
            Ok(connected) => break connected,
            Err(_) if begun.elapsed() < APPENDS_WITHIN => sleep(LOOK_INTERVAL).await,
            Err(_) => return false,
        }
    };
    let holding = async move {
        // Reading goes on meanwhile.
        let lock = "BEGIN; LOCK TABLE counterfoil.batches IN SHARE MODE";
        if client.batch_execute(lock).await.is_err() {
            return false;
        }
        let waiting = timeout(APPENDS_WITHIN, waiting_writer(stage)).await;
        if let Ok(number) = waiting {
            stage.links.writer_postgres[number].reset();
            sleep(hold.clamp(*WAITS_FOR.start(), *WAITS_FOR.end())).await;
        }
        client.batch_execute("COMMIT").await.is_ok() && waiting.is_ok()
    };
    tokio::select! {
        reached = holding => reached,
        _ = connection => false,
    }
}

/// The number of a write service whose append waits for a lock, as soon as there is one.
async fn waiting_writer(stage: &Stage) -> usize {
    let question = format!(
        "SELECT replace(application_name, '{APPEND_NAME_PREFIX}writer-', '') FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'
           AND starts_with(application_name, '{APPEND_NAME_PREFIX}')"
    );
    loop {
        let answer = as_superuser(&stage.database_url, &question).await.unwrap_or_default();
        let number = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        match number.filter(|number| *number < stage.links.writer_postgres.len()) {
            Some(number) => return number,
            None => sleep(LOOK_INTERVAL).await,
        }
    }
}

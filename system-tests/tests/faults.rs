//! A short run of the fault suite, with fixed seeds. The long one is `make faults`.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::time::Duration;

use system_tests::faults::{Order, Row, run};
use tokio::sync::Mutex;

/// One run at a time: what they measure is measured on the whole machine.
static TURN: Mutex<()> = Mutex::const_new(());

async fn survives(row: Row, seed: u64, seconds: u64) {
    let _turn = TURN.lock().await;
    let ran = run(Order { row, seed, length: Duration::from_secs(seconds) }).await;
    println!("{}", ran.summary());
    let (findings, never) = (ran.findings(), ran.never_reached());
    let place = format!("logs of the processes: {}", ran.logs());
    assert!(findings.is_empty(), "{place}\n{}", findings.join("\n"));
    assert!(never.is_empty(), "without any effect: {never:?}; {place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_by_itself_loses_nothing_doubles_nothing_and_heals() {
    survives(Row::each_once(), 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_loses_nothing_doubles_nothing_and_heals() {
    survives(Row::numbered(22).unwrap(), 7, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_decoded_stops_everything_there() {
    survives(Row::numbered(17).unwrap(), 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_edited_or_restored_from_a_backup_is_noticed() {
    survives(Row::numbered(18).unwrap(), 1, 1).await;
}

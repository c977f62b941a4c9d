//! A process whose log nobody reads.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use service_kit::config::{LogArgs, LogFormat};
use service_kit::telemetry;

#[test]
fn a_process_whose_log_nobody_reads_goes_on() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_child_that_says_much"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped()) // and never read
        .spawn()
        .unwrap();
    let began = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it waits for somebody to read its log");
        }
        sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "{ended}");
}

/// Run by the test above, in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn a_child_that_says_much() {
    let args = LogArgs { log_format: LogFormat::Json, log_filter: "info".to_owned() };
    telemetry::init(&args).unwrap();
    for number in 0..10_000 {
        tracing::info!(number, "one of many lines");
    }
}

//! Before and after every use of a store, a process ends, stands still, or believes that the store has failed.
//!
//! `FAILPOINTS_SECONDS=1500 cargo test -p system-tests --test failpoints -- --nocapture` goes through all of them: some 340
//! faults, one to two seconds each; judging all that was answered meanwhile takes longer. A short run takes some, other ones for
//! another `FAILPOINTS_SEED`. What was not tried for want of time is printed; what was tried has to be reached.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]
#![cfg(debug_assertions)]

use std::{collections::BTreeSet, fmt, time::Duration};

use service_kit::config::env_var;
use system_tests::{Dice, Process, Size, System, Witnesses};
use tokio::time::{Instant, sleep};

const PLAN: &str = "COUNTERFOIL_FAILPOINTS";
/// What is left of a short run for what comes at the end.
const SECONDS: u64 = 20;
/// A point that is not passed by then, though everything that leads there was brought about again and again, is not passed.
const REACHED_WITHIN: Duration = Duration::from_secs(20);
/// What is passed often was passed several times by then.
const REACHED_AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// A process that has started passes what it passes by itself within this; then more is brought about, each time for so long.
const DISTURBED_EVERY: Duration = Duration::from_secs(3);

/// Whatever is passed seldom, such as the repair of what the sweep comes by, was passed by then.
const DISCOVERED_WITHIN: Duration = Duration::from_secs(60);

/// Points that show that everything was brought about, and whether they are a write-service's.
const EXPECTED: [(bool, &str); 5] = [
    (true, "after append"),
    (true, "before load accounts"),
    (false, "after commit a page"),
    (false, "after repair a value"),
    (false, "after load a script"),
];

/// A process that does not survive a pause or a failure has ended by then.
const HARMED_WITHIN: Duration = Duration::from_millis(500);

/// What a process does when it reaches the point.
const ACTIONS: [&str; 3] = ["abort", "fail", "pause 400"];

/// Where it is done, and what.
struct Fault {
    is_writer: bool,
    point: String,
    action: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_writer, point, action } = self;
        let process = if *is_writer { "write-service" } else { "projector" };
        write!(f, "{process}: {point}={action}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_before_or_after_any_use_of_a_store_nothing_is_lost_or_doubled() {
    let seconds = number("FAILPOINTS_SECONDS").unwrap_or(SECONDS);
    let mut dice = Dice::new(number("FAILPOINTS_SEED").unwrap_or(1));
    let mut system = System::start(Size::doubled(2)).await;
    let witnesses = Witnesses::start(&system, 1).await;
    let stop = Instant::now() + Duration::from_secs(seconds);
    let mut faults = discover(&mut system).await;
    assert!(faults.len() > 100, "only {} faults are known", faults.len());
    let (mut reached, mut missed) = (0, BTreeSet::new());
    let known = faults.len();
    let begun = Instant::now();
    while Instant::now() < stop && !faults.is_empty() {
        let fault = faults.swap_remove(dice.index(faults.len()));
        if inject(&mut system, &fault, &mut dice).await {
            reached += 1;
        } else {
            println!("not reached: {fault}");
            missed.insert(fault.to_string());
        }
    }
    let untried: BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
    println!(
        "{reached} of {known} faults reached in {} s, {} not tried: {untried:#?}",
        begun.elapsed().as_secs(),
        untried.len()
    );
    for process in system.writers.iter_mut().chain(&mut system.projectors) {
        process.set(PLAN, "");
        process.kill().await;
        process.restart();
    }
    for writer in 0..2 {
        system.until_writer_ready(writer).await;
    }
    system.until_reading().await;
    witnesses.judge(&system).await;
    assert_eq!(missed, BTreeSet::new(), "were tried, and not reached");
    assert!(reached > 0, "no fault was tried");
}

/// Lets processes name the points they pass: when they start, work, lose their connections, repair an account, and build a view anew.
async fn discover(system: &mut System) -> Vec<Fault> {
    for process in system.writers.iter_mut().chain(&mut system.projectors) {
        process.set(PLAN, "trace");
        process.kill().await;
        process.restart();
    }
    sleep(Duration::from_secs(2)).await;
    cut(system).await;
    disturb(system, false).await;
    let until = Instant::now() + DISCOVERED_WITHIN;
    loop {
        sleep(DISTURBED_EVERY).await;
        let faults = passed(system);
        let points: BTreeSet<_> =
            faults.iter().map(|fault| (fault.is_writer, &fault.point[..])).collect();
        let missing: Vec<_> = EXPECTED.iter().filter(|point| !points.contains(*point)).collect();
        if missing.is_empty() {
            return faults;
        }
        assert!(Instant::now() < until, "{missing:?} are not among {points:#?}");
    }
}

/// What can happen at the points that were passed so far.
fn passed(system: &System) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (is_writer, processes) in [(true, &system.writers), (false, &system.projectors)] {
        let passed = processes.iter().flat_map(|process| named(process, "failpoint passed"));
        for point in passed.collect::<BTreeSet<_>>() {
            let fault = |action| Fault { is_writer, point: point.clone(), action };
            faults.extend(ACTIONS.map(fault));
        }
    }
    faults
}

/// Lets one of two processes run into it. Whether it did.
async fn inject(system: &mut System, fault: &Fault, dice: &mut Dice) -> bool {
    // What is passed often is reached in the middle of work, too; what is passed seldom, the first time.
    let later = 2 + dice.roll(4);
    let number = dice.index(2);
    if dice.percent(50) && inject_at(system, fault, number, later, REACHED_AGAIN_WITHIN).await {
        return true;
    }
    inject_at(system, fault, number, 1, REACHED_WITHIN).await
}

async fn inject_at(
    system: &mut System,
    fault: &Fault,
    number: usize,
    pass: u64,
    within: Duration,
) -> bool {
    let Fault { is_writer, point, action } = fault;
    // A process that has ended passes nothing any more.
    let plan = match *action {
        "abort" => format!("{point}={action}@{pass}"),
        _ => format!("{point}={action}@1; {point}={action}@{}", pass + 1),
    };
    let process = process(system, *is_writer, number);
    process.set(PLAN, plan);
    process.kill().await;
    let before = named(process, "failpoint reached").len();
    process.restart();
    let begun = Instant::now();
    let mut disturb_next = begun + DISTURBED_EVERY / 4;
    let is_reached = loop {
        let process = self::process(system, *is_writer, number);
        // The line is written before anything happens.
        let is_running = process.is_running();
        if named(process, "failpoint reached").len() > before {
            break true;
        }
        assert!(is_running, "it has ended by itself, its log: {}", process.log());
        if begun.elapsed() > within {
            break false;
        }
        if Instant::now() > disturb_next {
            // What one of two does for both is left to this one.
            if begun.elapsed() > REACHED_WITHIN / 4 {
                self::process(system, *is_writer, 1 - number).kill().await;
            }
            disturb(system, *is_writer).await;
            disturb_next = Instant::now() + DISTURBED_EVERY;
        }
        sleep(Duration::from_millis(20)).await;
    };
    self::process(system, *is_writer, 1 - number).restart();
    let process = self::process(system, *is_writer, number);
    if is_reached && *action == "abort" {
        assert!(process.ends_within(Duration::from_secs(5)).await, "it ends at {point}");
        process.set(PLAN, "");
        process.restart();
    } else if is_reached {
        sleep(HARMED_WITHIN).await;
        assert!(process.is_running(), "it has ended at {fault}, its log: {}", process.log());
        if *is_writer {
            system.until_writer_ready(number).await;
        }
    }
    is_reached
}

/// Brings about what is passed only by whoever has lost his connections, finds that Redis has no scripts, repairs something, or
/// builds a view.
async fn disturb(system: &System, is_writer: bool) {
    if is_writer {
        return cut(system).await;
    }
    let _: String = system.on_redis(&["SCRIPT", "FLUSH"]).await;
    // Who owns what is written once: nobody else puts it back. Not of the owner whose accounts are listed meanwhile.
    let owners: Vec<String> = system.on_redis(&["KEYS", "cf:v1:*:o:owner-*"]).await;
    for owner in owners {
        let _: i64 = system.on_redis(&["DEL", &owner]).await;
    }
    sleep(Duration::from_secs(1)).await;
    // A projector may be standing still.
    system.counterfoil(&["rebuild", "--view", "accounts"]).await;
}

async fn cut(system: &System) {
    system
        .as_superuser(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'counterfoil-%'",
        )
        .await;
}

fn process(system: &mut System, is_writer: bool, number: usize) -> &mut Process {
    let processes = if is_writer { &mut system.writers } else { &mut system.projectors };
    &mut processes[number]
}

/// The points in the lines of a process's log that say so.
fn named(process: &Process, what: &str) -> Vec<String> {
    let log = std::fs::read_to_string(process.log()).unwrap_or_default();
    let lines = log.lines().filter(|line| line.contains(what));
    let point = |line: &str| Some(line.split_once("failpoint=\"")?.1.split_once('"')?.0.to_owned());
    lines.filter_map(point).collect()
}

fn number(variable: &str) -> Option<u64> {
    env_var(variable)?.parse().ok()
}

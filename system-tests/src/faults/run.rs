//! One run: the system is started, clients work, faults are done, everything heals, and it is judged.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    harm::harm,
    row::{Plan, Row},
    special,
    stage::Stage,
    tally::{Count, Inner},
};
use crate::{
    dice::Dice,
    history::{Answer, Attempt, Call, Ending, History, Moment, Read, ReadAnswer},
    log,
    model::{ACCOUNT_ACCESS_DENIED, Replay},
    oracles::{Evidence, Oracle, Recovery, Verdict, judge_when_converged},
    preload::{Library, Preload},
    process::logs_folder,
    system::{Setup, Size, System},
    traffic::Traffic,
};

const WRITERS: u64 = 8;
const READERS: u64 = 3;
/// How long nothing is done at first, to see what is usual.
const CALM: Duration = Duration::from_millis(1200);
/// How long clients ask until every outcome is known.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long Redis may take to equal the log, once everything is healed and nobody writes.
const CONVERGES_WITHIN: Duration = Duration::from_secs(60);
/// What takes longer in a system that has not come back is no news.
const BRIEFLY: Duration = Duration::from_secs(5);
/// How long what was left behind by connections that fell into a black hole may take to go.
const SHRINKS_WITHIN: Duration = Duration::from_secs(20);
/// Longest that anything is held down, however long the run is. A pause may fill all of its run.
const HOLD_MOST: Duration = Duration::from_secs(30);
/// What the clocks of services and clients may differ by: they count in milliseconds.
const STALENESS_SLACK: Duration = Duration::from_millis(20);

/// Where clocks are set, what they say of time proves nothing.
const WRONG_CLOCKS: Duration = Duration::from_secs(2 * 86_400);

/// Which run.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// What is done.
    pub row: Row,
    /// What the dice are made of.
    pub seed: u64,
    /// How long faults are done.
    pub length: Duration,
}

impl Order {
    fn command(&self) -> String {
        let Self { row, seed, length } = self;
        let older = row.older_binaries();
        let older = older.map(|folder| format!("COUNTERFOIL_OLD_BINARIES={} ", folder.display()));
        format!(
            "{}make faults ROWS={} SEED={seed} SEEDS=1 SECONDS={}",
            older.unwrap_or_default(),
            row.number,
            length.as_secs()
        )
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub(crate) order: Order,
    pub(crate) counts: BTreeMap<&'static str, Count>,
    pub(crate) verdicts: BTreeMap<Oracle, Verdict>,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) reads: BTreeMap<&'static str, u64>,
    /// Staleness that answers told, before faults and under them.
    pub(crate) staleness: [Vec<Duration>; 2],
    pub(crate) logs: String,
}

impl Ran {
    /// How many things were wrong.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.verdicts.values().map(|verdict| verdict.wrong).sum()
    }

    /// What was wrong, with what is needed to find it again.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let tell = |(oracle, verdict): (&Oracle, &Verdict)| {
            let promise = oracle.promise();
            let told = verdict.findings.iter().map(|finding| format!("{promise}: {finding}"));
            let more = verdict.wrong - verdict.findings.len() as u64;
            let more = (more > 0).then(|| format!("{promise}: and {more} more"));
            told.chain(more).collect::<Vec<_>>()
        };
        self.verdicts.iter().flat_map(tell).collect()
    }

    /// Faults that were done and had no effect.
    #[must_use]
    pub fn never_reached(&self) -> Vec<&'static str> {
        let never = self.counts.iter().filter(|(_, count)| count.reached == 0);
        never.map(|(fault, _)| *fault).collect()
    }

    /// One line about it.
    #[must_use]
    pub fn summary(&self) -> String {
        let Order { row, seed, length } = self.order;
        let faults: Vec<String> = self
            .counts
            .iter()
            .map(|(fault, Count { injected, reached })| format!("{fault} {reached}/{injected}"))
            .collect();
        format!(
            "row {} seed {seed} {}s: {} violations; calls {:?}; reads {:?}; reached: {}",
            row.number,
            length.as_secs(),
            self.violations(),
            self.calls,
            self.reads,
            faults.join(", "),
        )
    }

    /// The command that does the same again, with everything built as it was for this run.
    #[must_use]
    pub fn again(&self) -> String {
        self.order.command()
    }

    /// Where the processes have written their logs.
    #[must_use]
    pub fn logs(&self) -> &str {
        &self.logs
    }
}

/// Does one run.
///
/// # Panics
/// When the system cannot even be started, or the row cannot be run.
pub async fn run(order: Order) -> Ran {
    match order.row.plan {
        Plan::DamagedLog(damage) => special::run(order, damage).await,
        Plan::OneByOne(_) | Plan::Together(_) => run_under_faults(order).await,
    }
}

async fn run_under_faults(order: Order) -> Ran {
    let dice = Dice::new(order.seed).of(u64::from(order.row.number));
    let (stage, traffic, _folder) = begin(order, &dice).await;
    sleep(CALM).await;
    let before = stage.footprints().await;
    let faults_from = stage.history.now();
    match order.row.plan {
        Plan::OneByOne(faults) => one_by_one(&stage, faults, dice.of(1), order.length).await,
        Plan::Together(faults) => together(&stage, faults, &dice, order.length).await,
        Plan::DamagedLog(_) => unreachable!("run elsewhere"),
    }
    stage.heal().await;
    let is_back = stage.recover("everything").await;
    let at_most = |within: Duration| if is_back { within } else { within.min(BRIEFLY) };
    traffic.settle(at_most(SETTLES_WITHIN)).await;
    let footprints = shrunk(&stage, &before, at_most(SHRINKS_WITHIN)).await;
    for (name, process) in stage.processes() {
        let process = process.lock().await;
        if process.has_panicked() {
            stage.tally.accident(format!("{name} panicked; its log: {}", process.log()));
        }
    }
    let log = log::read(&stage.database_url).await.expect("a healed log can be read");
    let (calls, reads) = stage.history.take();
    let Inner { counts, recoveries, tampered, accidents } = stage.tally.take();
    let mut evidence = Evidence {
        replay: Replay::of(&log.rows),
        log,
        calls,
        reads,
        redis: None,
        tampered,
        recoveries,
        footprints,
        accidents,
        staleness_slack: if order.row.library() == Some(Library::Clock) {
            WRONG_CLOCKS
        } else {
            STALENESS_SLACK
        },
    };
    let within = at_most(CONVERGES_WITHIN);
    let verdicts = judge_when_converged(&stage.redis.url(), &mut evidence, within).await;
    Ran {
        order,
        counts,
        verdicts,
        calls: count_calls(&evidence.calls),
        reads: count_reads(&evidence.reads),
        staleness: staleness(&evidence.reads, faults_from),
        recoveries: evidence.recoveries,
        logs: logs_folder().display().to_string(),
    }
}

/// Starts everything. One seed in four has four shards, two in four control access, and one in three a Redis that keeps what it
/// is given.
async fn begin(order: Order, dice: &Dice) -> (Stage, Traffic, Option<tempfile::TempDir>) {
    let shards = if order.seed % 4 == 3 { 4 } else { 1 };
    let keeps = order.seed % 3 != 1 && matches!(order.row.number, 9 | 22);
    let folder = keeps.then(|| tempfile::tempdir().unwrap());
    let redis_folder = folder.as_ref().map(|folder| folder.path());
    let preload = order.row.library().map(|library| Preload::new(library).expect("a C compiler"));
    let controls_access = order.seed % 4 >= 2 && order.row.keeps_tokens_good();
    let setup = Setup { linked: true, preload, controls_access };
    let system = System::start_as(Size::doubled(shards), redis_folder, setup).await;
    let history = Arc::new(History::default());
    Traffic::prepare(&system.clients, &history).await;
    let traffic = Traffic::start(&system.clients, history.clone(), dice, (WRITERS, READERS));
    let share = if order.row.number == 4 { order.length } else { order.length / 4 };
    let hold = share.clamp(Duration::from_millis(600), HOLD_MOST);
    let clients = (traffic.manners.clone(), traffic.mischief.clone());
    let first_link = usize::try_from(order.seed % 64).unwrap_or_default();
    let fsync = if order.seed.is_multiple_of(3) { "always" } else { "everysec" };
    let stage = Stage::new(system, history, clients, (hold, first_link, fsync));
    stage.set_fsync().await;
    (stage, traffic, folder)
}

/// Each fault at least once, then more of them until the time is up; after each the system has to recover.
async fn one_by_one(
    stage: &Stage,
    faults: &[super::fault::Fault],
    mut dice: Dice,
    length: Duration,
) {
    let begun = Instant::now();
    let mut round = 0;
    while round < faults.len() || begun.elapsed() < length {
        let fault = match faults.get(round) {
            Some(fault) => *fault,
            None => *dice.pick(faults),
        };
        let reached = harm(stage, fault, &mut dice).await;
        stage.tally.count(fault, reached);
        if !stage.recover(fault.name()).await {
            return; // what does not come back is judged as it is
        }
        // The next fault meets a system that has just come back, or one that has been at rest.
        sleep(dice.time(Duration::ZERO, Duration::from_millis(500))).await;
        round += 1;
    }
}

/// Two or three faults at once, again and again; only sometimes is recovery waited for.
async fn together(stage: &Stage, faults: &[super::fault::Fault], dice: &Dice, length: Duration) {
    let begun = Instant::now();
    let mut rounds = dice.of(1);
    let mut number = 100;
    while begun.elapsed() < length {
        let count = 2 + rounds.index(2);
        let chosen: Vec<_> = (0..count).map(|_| *rounds.pick(faults)).collect();
        let done = chosen.iter().map(|fault| {
            number += 1;
            let mut dice = dice.of(number);
            async move {
                sleep(dice.time(Duration::ZERO, Duration::from_millis(300))).await;
                let reached = harm(stage, *fault, &mut dice).await;
                stage.tally.count(*fault, reached);
            }
        });
        futures::future::join_all(done).await;
        if rounds.percent(40) && !stage.recover("several at once").await {
            return;
        }
    }
}

/// What processes hold now, given some time to let go of it.
async fn shrunk(
    stage: &Stage,
    before: &[(String, (u64, u64))],
    within: Duration,
) -> Vec<crate::oracles::Footprint> {
    let begun = Instant::now();
    loop {
        let grown = stage.grown_since(before).await;
        let is_back = grown.iter().all(|one| one.after.1 <= one.before.1 + 16);
        if is_back || begun.elapsed() > within {
            return grown;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn count_calls(calls: &[Call]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    for call in calls {
        count(match call.ending() {
            Ending::Applied(_) => "applied",
            Ending::Refused(_) => "refused",
            Ending::Nothing if call.attempts.iter().any(|one| one.answer.is_invalid()) => "invalid",
            Ending::Nothing if call.attempts.iter().all(|one| one.answer.is_shed()) => "shed",
            Ending::Nothing => "refused for now",
            Ending::Undecided => "undecided",
            Ending::Unresolved => "unresolved",
        });
        if call.attempts.iter().any(|attempt| matches!(attempt.answer, Answer::Unknown { .. })) {
            count("unknown at first");
        }
        let denied = |attempt: &Attempt| match &attempt.answer {
            Answer::Refused(refused) => refused.reason == ACCOUNT_ACCESS_DENIED,
            _ => false,
        };
        if call.attempts.iter().any(denied) {
            count("denied");
        }
        if call.attempts.len() > 1 {
            count("sent again");
        }
    }
    counts
}

fn count_reads(reads: &[Read]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for read in reads {
        let what = match read.answer {
            ReadAnswer::Found { .. } => "found",
            ReadAnswer::Missing { .. } | ReadAnswer::NoTransaction { .. } => "not found",
            ReadAnswer::Failed { .. } => "refused",
        };
        *counts.entry(what).or_default() += 1;
    }
    counts
}

fn staleness(reads: &[Read], faults_from: Moment) -> [Vec<Duration>; 2] {
    let mut both = [Vec::new(), Vec::new()];
    for read in reads {
        if let ReadAnswer::Found { staleness: Some(staleness), .. } = read.answer {
            both[usize::from(read.sent >= faults_from)].push(staleness);
        }
    }
    both
}

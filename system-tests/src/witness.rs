//! Clients that work while a test does its worst, and say afterwards whether every promise was kept.

use std::{collections::HashMap, sync::Arc, time::Duration};

use event_store::LogReader;
use proto::read;

use crate::{
    System,
    dice::Dice,
    history::{Ending, History},
    log,
    model::Replay,
    oracles::{Evidence, judge_when_converged},
    process::{Process, until},
    traffic::Traffic,
};

/// Clients that write, and clients that read.
const CLIENTS: (u64, u64) = (8, 2);
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const CLEARS_WITHIN: Duration = Duration::from_secs(60);

/// Clients at work.
#[derive(Debug)]
pub struct Witnesses {
    traffic: Traffic,
    history: Arc<History>,
}

impl Witnesses {
    /// Opens accounts and sets clients to work; what they send depends on the seed.
    pub async fn start(system: &System, seed: u64) -> Self {
        let (clients, history) = (system.clients(), Arc::new(History::default()));
        Traffic::prepare(&clients, &history).await;
        let traffic = Traffic::start(&clients, history.clone(), &Dice::new(seed), CLIENTS);
        Self { traffic, history }
    }

    /// Lets them finish, waits until the read model has everything, and judges it all.
    ///
    /// # Panics
    /// When a promise was broken, a process has panicked, or so little happened that nothing was tested.
    pub async fn judge(self, system: &System) {
        self.traffic.settle(SETTLES_WITHIN).await;
        the_read_model_matches(system).await;
        let log = log::read(&system.database_url).await.unwrap();
        let (calls, reads) = self.history.take();
        let applied = calls.iter().filter(|call| matches!(call.ending(), Ending::Applied(_)));
        let applied = applied.count();
        let mut evidence = Evidence {
            replay: Replay::of(&log.rows),
            log,
            calls,
            reads,
            redis: None,
            tampered: Vec::new(),
            recoveries: Vec::new(),
            footprints: Vec::new(),
            accidents: Vec::new(),
            staleness_slack: Duration::from_millis(20),
        };
        // What was left of an older generation may be on its way out.
        let redis_url = system.redis.url();
        let verdicts = judge_when_converged(&redis_url, &mut evidence, CLEARS_WITHIN).await;
        let findings: Vec<String> = verdicts
            .into_iter()
            .flat_map(|(oracle, verdict)| {
                let tell = |finding| format!("{}: {finding}", oracle.promise());
                verdict.findings.into_iter().map(tell).collect::<Vec<_>>()
            })
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        let panicked = system.processes().filter(|process| process.has_panicked());
        let logs: Vec<String> = panicked.map(Process::log).collect();
        assert!(logs.is_empty(), "panicked; their logs: {logs:?}");
        assert!(applied > 50, "only {applied} commands were applied: nothing was tested");
    }
}

/// Waits until the read model has all of the log, and compares the two completely.
pub async fn the_read_model_matches(system: &System) {
    until_caught_up(system).await;
    let (code, output) = system.counterfoil(&["verify"]).await;
    assert_eq!(code, 0, "{output}");
}

/// Waits until every view has all of the log.
pub(crate) async fn until_caught_up(system: &System) {
    until("every view has all of the log", || async {
        let status = system
            .read_client(0)
            .get_read_model_status(read::GetReadModelStatusRequest::default())
            .await;
        let heads = heads(system).await;
        status.is_ok_and(|status| {
            let views = status.into_inner().views;
            !views.is_empty()
                && views.iter().all(|view| {
                    view.generation != 0
                        && view.building_generation == 0
                        && heads.get(&view.shard).is_none_or(|head| view.position == *head)
                })
        })
    })
    .await;
}

async fn heads(system: &System) -> HashMap<i32, i64> {
    let reader = LogReader::connect(&system.database_url, "oracle").await.unwrap();
    let identity = reader.identity().await.unwrap();
    let mut heads = HashMap::new();
    for shard in identity.shards.shards() {
        let head = reader.head(shard).await.unwrap();
        heads.insert(i32::from(shard.get()), head.map_or(0, |head| head.link.position.get()));
    }
    heads
}

//! The sweep: what Redis holds is compared with the log, all the time and slowly, and put right.
//!
//! Equal position and hash prove that a view has seen the same events as the log. That it still holds what it
//! then stored is proven only by looking.

use std::{sync::Arc, time::Duration};

use event_store::LogIdentity;
use ledger::Shard;
use read_model::{ScanCursor, View};
use tokio::time::Instant;

use crate::{
    Shared,
    error::Stop,
    inspect::{Findings, Replay, Target, check_accounts, check_statements, check_strays},
    metrics::{of_kind, of_view},
};

/// How many times more events than accounts are compared per second: an event is one field of a page, an
/// account several look-ups.
const EVENTS_PER_ACCOUNT: f64 = 10.0;

/// How long to wait after a failure, and between two passes over a small log.
const PAUSE: Duration = Duration::from_secs(1);

/// Mismatches named in the log per pass; all are counted.
const NAMED_MAX: u64 = 20;

/// Compares for ever, or not at all if the rate is 0.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let per_second = f64::from(shared.config.sweep_accounts_per_second);
    if per_second == 0.0 {
        return std::future::pending().await;
    }
    let mut identity = shared.identity.subscribe();
    loop {
        let known = identity.wait_for(Option::is_some).await.map(|identity| *identity);
        let Ok(Some(known)) = known else { return };
        let mut pass = Pass {
            shared: &shared,
            identity: known,
            per_second,
            begun: Instant::now(),
            spent: 0.0,
            named: 0,
        };
        match pass.run().await {
            Ok(()) => _ = shared.metrics.sweep_passes.inc(),
            Err(Stop::Conflict) => {} // a generation came or went; the next pass looks again
            Err(stop) => {
                shared.background.give_up().await;
                shared.metrics.errors.get_or_create(&of_kind("sweep")).inc();
                let error = anyhow::Error::new(stop);
                tracing::warn!(error = format!("{error:#}"), "the sweep fails; trying again");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One pass over everything.
struct Pass<'a> {
    shared: &'a Shared,
    identity: LogIdentity,
    per_second: f64,
    begun: Instant,
    /// Seconds that what was compared so far should have taken.
    spent: f64,
    named: u64,
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        for shard in self.identity.shards.shards() {
            for view in View::ALL {
                self.compare(view, shard).await?;
            }
        }
        Ok(())
    }

    /// Compares the visible generation of a view. One of another log, or a lost one, is the projection's business.
    async fn compare(&mut self, view: View, shard: Shard) -> Result<(), Stop> {
        let status = self.shared.writer.status(view, shard).await?;
        let Some(visible) = status.visible else { return Ok(()) };
        let same_log =
            |checkpoint: &read_model::Checkpoint| checkpoint.log_id == self.identity.log_id;
        if !visible.checkpoint.as_ref().is_some_and(same_log) {
            return Ok(());
        }
        let target = Target::new(&self.shared.reader, view, shard, visible.generation);
        let log = self.shared.background.reader().await?;
        let mut after = None;
        loop {
            let chunk = match view {
                View::Accounts => check_accounts(&log, &target, after).await?,
                View::Transactions => check_statements(&log, &target, after).await?,
                View::Totals => break,
            };
            let Some((last, findings)) = chunk else { break };
            let accounts =
                f64::from(last.get().saturating_sub(after.map_or(0, ledger::AccountNumber::get)));
            self.handle(&target, findings).await?;
            self.pace(accounts).await;
            after = Some(last);
        }
        let mut replay = Replay::begin(&self.identity, &target).await?;
        loop {
            let before = replay.left();
            let Some(findings) = replay.step(&log, &target).await? else { break };
            let events = u32::try_from(before.saturating_sub(replay.left())).unwrap_or(u32::MAX);
            self.handle(&target, findings).await?;
            self.pace(f64::from(events) / EVENTS_PER_ACCOUNT).await;
        }
        let indexed = replay.into_indexed();
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let (next, findings) = check_strays(&log, &target, &indexed, at).await?;
            let keys = u32::try_from(findings.checked).unwrap_or(u32::MAX);
            self.handle(&target, findings).await?;
            self.pace(f64::from(keys) / EVENTS_PER_ACCOUNT).await;
            cursor = next;
        }
        Ok(())
    }

    /// Counts, alarms, repairs.
    async fn handle(&mut self, target: &Target, findings: Findings) -> Result<(), Stop> {
        let label = of_view(target.view, target.shard);
        let metrics = &self.shared.metrics;
        metrics.sweep_checked.get_or_create(&label).inc_by(findings.checked);
        metrics.sweep_mismatches.get_or_create(&label).inc_by(findings.count);
        for mismatch in &findings.mismatches {
            let repaired = self.shared.writer.repair(&mismatch.repair()).await?;
            if repaired {
                metrics.sweep_repaired.get_or_create(&label).inc();
            } else if target.view == View::Totals {
                // Folded on and on from a wrong value: only building them anew helps.
                self.shared.writer.request_rebuild(target.view, target.shard).await?;
            }
            self.named += 1;
            if self.named <= NAMED_MAX {
                tracing::error!(
                    view.name = %target.view,
                    shard = target.shard.get(),
                    generation = target.generation.get(),
                    position = mismatch.seen.position.get(),
                    key = mismatch.place.key(),
                    missing = mismatch.wrong.is_none(),
                    repaired,
                    "the read model differs from the log"
                );
            }
        }
        Ok(())
    }

    /// Waits until what was compared has taken as long as it may be quick.
    async fn pace(&mut self, accounts: f64) {
        self.spent += accounts / self.per_second;
        let due = self.begun + Duration::from_secs_f64(self.spent);
        tokio::time::sleep_until(due).await;
    }
}

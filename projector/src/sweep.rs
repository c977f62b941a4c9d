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
    janitor::Errand,
    load::link_of,
    metrics::{of_kind, of_view},
};

/// How many times more events than accounts are compared per second: an event is one field of a page, an
/// account several look-ups.
const EVENTS_PER_ACCOUNT: f64 = 10.0;

/// What is read to compare an account on average, in rows of the log and values of Redis. One that takes more of them,
/// because its money has not moved for many events, counts as that many accounts.
const READ_PER_ACCOUNT: f64 = 5.0;

/// A step through the names of all keys is as much work for Redis as some accounts, whether or not it finds any of ours.
const SCAN_STEP_ACCOUNTS: f64 = 1.0;

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
        let pace = Pace::begin(per_second);
        let mut pass = Pass { shared: &shared, identity: known, pace, named: 0 };
        if pass.run().await {
            shared.metrics.sweep_passes.inc();
            // Compared was what pointers name. If the janitor is busy, the next pass says so again.
            _ = shared.errands.try_send(Errand::Orphans);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One pass over everything.
struct Pass<'a> {
    shared: &'a Shared,
    identity: LogIdentity,
    pace: Pace,
    named: u64,
}

/// Keeps the sweep as slow as it was told to be.
struct Pace {
    accounts_per_second: f64,
    step_begun: Instant,
}

impl Pace {
    fn begin(accounts_per_second: f64) -> Self {
        Self { accounts_per_second, step_begun: Instant::now() }
    }

    /// Waits until a step has taken as long as comparing so many accounts may be quick. Counted from the step's own
    /// beginning: time that was lost, because the stores were slow or the process stood still, is not caught up with.
    async fn rest(&mut self, accounts: f64) {
        let due = self.step_begun + Duration::from_secs_f64(accounts / self.accounts_per_second);
        tokio::time::sleep_until(due).await;
        self.step_begun = Instant::now();
    }
}

impl Pass<'_> {
    /// Compares every view on every shard, and says whether all of them could be. What is wrong with one of them keeps
    /// none of the others from being compared.
    async fn run(&mut self) -> bool {
        let mut is_complete = true;
        for shard in self.identity.shards.shards() {
            for view in View::ALL {
                match self.compare(view, shard).await {
                    Ok(()) => {}
                    // A generation came or went; the next pass looks again.
                    Err(Stop::Conflict) => is_complete = false,
                    Err(stop) => {
                        is_complete = false;
                        self.failed(view, shard, stop).await;
                    }
                }
            }
        }
        is_complete
    }

    async fn failed(&self, view: View, shard: Shard, stop: Stop) {
        if let Stop::Log(_) = stop {
            self.shared.background.give_up().await;
        }
        self.shared.metrics.errors.get_or_create(&of_kind("sweep")).inc();
        let error = anyhow::Error::new(stop);
        tracing::warn!(
            view.name = %view,
            shard = shard.get(),
            error = format!("{error:#}"),
            "comparing with the log fails; going on with the next view"
        );
        // As often as the first, all the others may fail, when a store is away.
        tokio::time::sleep(PAUSE).await;
    }

    /// Compares the visible generation of a view. One of another log, or a lost one, is the projection's business.
    async fn compare(&mut self, view: View, shard: Shard) -> Result<(), Stop> {
        let status = self.shared.writer.status(view, shard).await?;
        let Some(visible) = status.visible else { return Ok(()) };
        let same_log =
            |checkpoint: &read_model::Checkpoint| checkpoint.log_id == self.identity.log_id;
        let Some(checkpoint) = visible.checkpoint.filter(same_log) else { return Ok(()) };
        let log = self.shared.background.reader().await?;
        // Nor is one that the log contradicts: which of the two is right, is not for the sweep to say.
        match link_of(&log, &self.identity, shard, &checkpoint).await {
            Err(Stop::Corrupt { .. }) => return Err(Stop::Conflict),
            outcome => _ = outcome?,
        }
        let target = Target::new(&self.shared.reader, view, shard, visible.generation);
        self.pace.rest(0.0).await; // what comes now is paced from here
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
            let worth = accounts.max(worth_in_accounts(&findings));
            self.handle(&target, findings).await?;
            self.pace.rest(worth).await;
            after = Some(last);
        }
        let mut replay = Replay::begin(&self.identity, &target).await?;
        loop {
            let before = replay.left();
            let Some(findings) = replay.step(&log, &target).await? else { break };
            let events = u32::try_from(before.saturating_sub(replay.left())).unwrap_or(u32::MAX);
            self.handle(&target, findings).await?;
            self.pace.rest(f64::from(events) / EVENTS_PER_ACCOUNT).await;
        }
        let indexed = replay.into_indexed();
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let (next, findings) = check_strays(&log, &target, &indexed, at).await?;
            let worth = SCAN_STEP_ACCOUNTS + worth_in_accounts(&findings);
            self.handle(&target, findings).await?;
            self.pace.rest(worth).await;
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
            let outcome = self.shared.writer.repair(&mismatch.repair()).await;
            let cannot_be = matches!(outcome, Err(read_model::Error::WrongType { .. }));
            let repaired = if cannot_be { false } else { outcome? };
            if repaired {
                metrics.sweep_repaired.get_or_create(&label).inc();
            } else if target.view == View::Totals || cannot_be {
                // Totals are folded on and on from a wrong value: only building them anew helps.
                self.have_built_anew(target).await?;
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

    /// Unless that is being done: then a wish would only say that the log is to be believed, which is for an operator to say.
    async fn have_built_anew(&self, target: &Target) -> Result<(), Stop> {
        let (view, shard) = (target.view, target.shard);
        if self.shared.writer.status(view, shard).await?.building.is_none() {
            self.shared.writer.request_rebuild(view, shard).await?;
        }
        Ok(())
    }
}

/// As how many accounts it counts what was read.
fn worth_in_accounts(findings: &Findings) -> f64 {
    f64::from(u32::try_from(findings.read).unwrap_or(u32::MAX)) / READ_PER_ACCOUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a step is rested for that has taken `step`, in milliseconds.
    async fn rested(pace: &mut Pace, step: u64, accounts: f64) -> u128 {
        tokio::time::advance(Duration::from_millis(step)).await;
        let before = Instant::now();
        pace.rest(accounts).await;
        before.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_sweep_was_held_up_is_not_made_up_for() {
        let mut pace = Pace::begin(200.0);
        assert_eq!(rested(&mut pace, 0, 100.0).await, 500);
        assert_eq!(rested(&mut pace, 100, 100.0).await, 400);
        assert_eq!(rested(&mut pace, 3_600_000, 100.0).await, 0, "it stood still for an hour");
        assert_eq!(rested(&mut pace, 0, 100.0).await, 500);
    }
}

//! One account's rows, one after another.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use super::{
    row::AccountRows,
    settle::{Bank, Settling},
};
use crate::{call::Undelivered, failure::Refusal};

/// What became of an account.
pub(super) struct Lane {
    pub(super) account: AccountRows,
    /// Whether this run opened it.
    pub(super) opened: bool,
    /// Rows that this run brought in.
    pub(super) applied: usize,
    /// Rows that were in the log already.
    pub(super) replayed: usize,
    /// Rows, by their index, after which the ledger's balance is not the bank's.
    pub(super) differences: Vec<(usize, i64)>,
    /// The balance before the row that ended it, if it is known.
    pub(super) balance: Option<i64>,
    pub(super) end: LaneEnd,
}

/// How the work on an account ended. All but the first leave rows that were not sent.
pub(super) enum LaneEnd {
    /// All rows are in the log.
    Complete,
    /// The account could not be opened.
    NotOpened(Refusal),
    /// The row with this index was refused.
    Refused(usize, Refusal),
    /// The row with this index was not answered in time: it may have been applied, or still be.
    Unanswered(usize, Refusal),
    /// The import was stopped before the row with this index was applied.
    Stopped(usize),
}

/// How far all accounts together are, and whether to go on.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Without any answer for so long, the service is taken to be gone.
    patience: Duration,
    last_answer: Cell<Instant>,
    is_stopped: Cell<bool>,
    reason: RefCell<Option<Refusal>>,
}

impl Progress {
    pub(super) fn new(bar: ProgressBar, patience: Duration) -> Self {
        let last_answer = Cell::new(Instant::now());
        Self {
            bar,
            patience,
            last_answer,
            is_stopped: Cell::new(false),
            reason: RefCell::new(None),
        }
    }

    fn row_is_done(&self) {
        self.last_answer.set(Instant::now());
        self.bar.inc(1);
    }

    /// One row was not decided. If none was, or it is of no use to wait for it, every other account would be tried in vain.
    fn undelivered(&self, refusal: &Refusal) {
        let is_silent = self.last_answer.get().elapsed() * 2 >= self.patience;
        if is_silent || !refusal.is_passing() {
            self.stop(Some(refusal.clone()));
        }
    }

    /// No row is begun any more; `reason` unless the user wanted it so.
    pub(super) fn stop(&self, reason: Option<Refusal>) {
        self.is_stopped.set(true);
        if let Some(reason) = reason {
            self.reason.borrow_mut().get_or_insert(reason);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.get()
    }

    pub(super) fn stop_reason(&self) -> Option<Refusal> {
        self.reason.borrow().clone()
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Opens the account and sends its rows in order, each after the answer to the one before.
pub(super) async fn run_lane<B: Bank>(
    settling: &Settling<B>,
    account: AccountRows,
    progress: &Progress,
) -> Lane {
    let mut lane = Lane {
        account,
        opened: false,
        applied: 0,
        replayed: 0,
        differences: Vec::new(),
        balance: None,
        end: LaneEnd::Stopped(0),
    };
    if progress.is_stopped() {
        return lane;
    }
    match settling.open(&lane.account).await {
        Ok(opened) => (lane.opened, lane.balance) = (!opened.replayed, opened.balance),
        Err(undelivered) => {
            lane.end = end(0, undelivered, progress);
            if let LaneEnd::Refused(_, refusal) = lane.end {
                lane.end = LaneEnd::NotOpened(refusal);
            }
            return lane;
        }
    }
    lane.end = send_rows(settling, &mut lane, progress).await;
    lane
}

async fn send_rows<B: Bank>(
    settling: &Settling<B>,
    lane: &mut Lane,
    progress: &Progress,
) -> LaneEnd {
    for (index, row) in lane.account.rows.iter().enumerate() {
        if progress.is_stopped() {
            return LaneEnd::Stopped(index);
        }
        let applied = match settling.settle(&lane.account, row).await {
            Ok(applied) => applied,
            Err(undelivered) => return end(index, undelivered, progress),
        };
        lane.balance = Some(applied.balance_after);
        match applied.replayed {
            true => lane.replayed += 1,
            false => lane.applied += 1,
        }
        if row.balance_after.is_some_and(|bank| bank != applied.balance_after) {
            lane.differences.push((index, applied.balance_after));
        }
        progress.row_is_done();
    }
    LaneEnd::Complete
}

/// A row's own fault ends its account only; one of the service ends the import.
fn end(index: usize, undelivered: Undelivered, progress: &Progress) -> LaneEnd {
    match undelivered {
        Undelivered::Refused(refusal) if refusal.is_about_the_command() => {
            LaneEnd::Refused(index, refusal)
        }
        Undelivered::Refused(refusal) => {
            progress.stop(Some(refusal));
            LaneEnd::Stopped(index)
        }
        Undelivered::NotApplied(refusal) => {
            progress.undelivered(&refusal);
            match progress.is_stopped() {
                true => LaneEnd::Stopped(index),
                false => LaneEnd::Unanswered(index, refusal),
            }
        }
        Undelivered::Unknown(refusal) => {
            progress.undelivered(&refusal);
            LaneEnd::Unanswered(index, refusal)
        }
    }
}

#[cfg(test)]
mod tests;

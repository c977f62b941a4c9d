//! Order within a lane: a command does not overtake one that was sent before it in the same batch or stream and touches the
//! same account, when that one is set aside. Calls by themselves have no lane, wait for nobody and hold up nobody.

use std::collections::{BTreeSet, HashMap};

use ledger::AccountId;

use super::Pending;
use crate::queue::{Lane, Ticket};

/// The commands of lanes that are set aside.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Which of a lane's commands that are set aside touch an account.
    set_aside: HashMap<(Lane, AccountId), BTreeSet<u64>>,
    /// Commands that are set aside because one before them is.
    behind: Vec<Pending>,
    /// Whether one of them may go on.
    is_freed: bool,
}

impl Lanes {
    /// Notes that a command is set aside.
    pub(super) fn set_aside(&mut self, sequence: u64, ticket: &Ticket) {
        for key in keys(ticket) {
            self.set_aside.entry(key).or_default().insert(sequence);
        }
    }

    /// Notes that a command that was set aside goes on, or was answered.
    pub(super) fn goes_on(&mut self, sequence: u64, ticket: &Ticket) {
        for key in keys(ticket) {
            self.is_freed = true;
            if let Some(sequences) = self.set_aside.get_mut(&key) {
                sequences.remove(&sequence);
                if sequences.is_empty() {
                    self.set_aside.remove(&key);
                }
            }
        }
    }

    /// Whether a command before this one is set aside. Only those before it count: everything that waits then waits for
    /// something older, and nothing for itself.
    pub(super) fn is_behind(&self, sequence: u64, ticket: &Ticket) -> bool {
        let is_before =
            |sequences: &BTreeSet<u64>| sequences.first().is_some_and(|first| *first < sequence);
        !self.set_aside.is_empty()
            && keys(ticket).any(|key| self.set_aside.get(&key).is_some_and(is_before))
    }

    /// Sets a command aside until those before it have gone on.
    pub(super) fn wait_behind(&mut self, pending: Pending) {
        self.set_aside(pending.sequence, &pending.ticket);
        self.behind.push(pending);
    }

    /// Those that waited behind others, if one of them may go on now. The others come back.
    pub(super) fn take_freed(&mut self) -> Vec<Pending> {
        if std::mem::take(&mut self.is_freed) { self.take_behind() } else { Vec::new() }
    }

    /// All that wait behind others.
    pub(super) fn take_behind(&mut self) -> Vec<Pending> {
        let behind = std::mem::take(&mut self.behind);
        for pending in &behind {
            self.goes_on(pending.sequence, &pending.ticket);
        }
        self.is_freed = false;
        behind
    }

    pub(super) fn is_idle(&self) -> bool {
        self.behind.is_empty()
    }
}

/// What a command of a lane is noted under; nothing for a call by itself.
fn keys(ticket: &Ticket) -> impl Iterator<Item = (Lane, AccountId)> + '_ {
    ticket.origin.lane.into_iter().flat_map(|lane| {
        ticket.work.commands().iter().flat_map(move |command| {
            let ids = [Some(&command.account_id), command.destination()];
            ids.into_iter().flatten().map(move |id| (lane, id.clone()))
        })
    })
}

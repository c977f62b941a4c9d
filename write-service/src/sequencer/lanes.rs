//! Order within a lane: a command does not overtake one that was sent before it in the same batch or stream and touches the
//! same account, when that one is set aside. Calls by themselves have no lane, wait for nobody and hold up nobody.

use std::collections::HashMap;

use ledger::AccountId;

use super::Pending;
use crate::queue::{Lane, Ticket};

/// The commands of lanes that are set aside.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// How many of a lane's commands that are set aside touch an account.
    set_aside: HashMap<(Lane, AccountId), u32>,
    /// Commands that are set aside because one before them is.
    behind: Vec<Pending>,
    /// Whether one of them may go on.
    is_freed: bool,
}

impl Lanes {
    /// Notes that a command is set aside.
    pub(super) fn set_aside(&mut self, ticket: &Ticket) {
        for key in keys(ticket) {
            *self.set_aside.entry(key).or_default() += 1;
        }
    }

    /// Notes that a command that was set aside goes on, or was answered.
    pub(super) fn goes_on(&mut self, ticket: &Ticket) {
        for key in keys(ticket) {
            self.is_freed = true;
            if let Some(count) = self.set_aside.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.set_aside.remove(&key);
                }
            }
        }
    }

    /// Whether a command before this one is set aside.
    pub(super) fn is_behind(&self, ticket: &Ticket) -> bool {
        !self.set_aside.is_empty() && keys(ticket).any(|key| self.set_aside.contains_key(&key))
    }

    /// Sets a command aside until those before it have gone on.
    pub(super) fn wait_behind(&mut self, pending: Pending) {
        self.set_aside(&pending.ticket);
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
            self.goes_on(&pending.ticket);
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

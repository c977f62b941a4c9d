//! Loading accounts that are not in memory, beside the decisions on those that are.

use std::collections::HashMap;

use event_store::{Error, LoadedAccount, RecordedEvent};
use ledger::{Account, AccountId, AccountNumber, AccountState, Event, Shard};

use super::{
    Pending, Sequencer,
    accounts::{CachedAccount, Slot},
    lookup::within,
    reading::Reading,
};

/// Most commands that one load serves, so that the accounts it brings fit in the cache many times over.
pub(super) const COMMANDS_MAX: usize = 1024;

/// What one shard has of the accounts asked for.
type ShardAccounts = (Shard, Vec<LoadedAccount>);

/// Commands whose accounts are not in memory.
#[derive(Default)]
pub(super) struct Loads {
    waiting: Vec<(Pending, Vec<AccountId>)>,
    running: Option<Running>,
}

struct Running {
    commands: Vec<(Pending, Vec<AccountId>)>,
    epoch: u64,
    learned: Learned,
    answer: Reading<Result<Vec<ShardAccounts>, Error>>,
}

/// What others were found to have written while a load was running. It may be missing in what the load brings.
#[derive(Debug, Default)]
struct Learned {
    opened: HashMap<AccountId, CachedAccount>,
    states: HashMap<(Shard, AccountNumber), AccountState>,
}

impl Learned {
    /// The newer of what was loaded and what was learned.
    fn newest(&self, mut cached: CachedAccount) -> CachedAccount {
        if let Some(state) = self.states.get(&(cached.shard, cached.account.number))
            && state.version > cached.account.state.version
        {
            cached.account.state = *state;
        }
        cached
    }
}

/// A load that has ended.
pub(super) struct Loaded {
    commands: Vec<(Pending, Vec<AccountId>)>,
    epoch: u64,
    learned: Learned,
    accounts: Result<Vec<ShardAccounts>, Error>,
}

impl Loads {
    pub(super) fn add(&mut self, pending: Pending, ids: Vec<AccountId>) {
        self.waiting.push((pending, ids));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// The load that is running, when it has ended. Safe to drop and call again.
    pub(super) async fn finished(&mut self) -> Loaded {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let accounts = running.answer.ended().await;
        let Some(Running { commands, epoch, learned, .. }) = self.running.take() else {
            return std::future::pending().await;
        };
        Loaded { commands, epoch, learned, accounts }
    }

    /// Notes an event that this instance has not written, for the load that is running.
    pub(super) fn learn(&mut self, event: &RecordedEvent) {
        let Some(Running { learned, .. }) = &mut self.running else { return };
        if let Event::AccountOpened { opening, .. } = &event.event {
            let (number, opening) = (event.account, opening.clone());
            let id = opening.account_id.clone();
            let account = Account { number, opening, state: event.state };
            let opened = CachedAccount::stored(event.shard, account, event.recorded_at);
            learned.opened.insert(id, opened);
        }
        learned.states.insert((event.shard, event.account), event.state);
    }

    /// Gives up what is running, and gives all commands back.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Pending> + use<> {
        let running = self.running.take().map(|running| running.commands).unwrap_or_default();
        running.into_iter().chain(std::mem::take(&mut self.waiting)).map(|(pending, _)| pending)
    }
}

impl Sequencer {
    /// Starts a load for the commands that wait, if none is running.
    pub(super) fn start_loads(&mut self) {
        let (Some(connections), Some(identity)) = (&self.connections, self.identity) else {
            return;
        };
        // While nothing can be sent, what was loaded must not push out what is under way.
        if self.loads.running.is_some()
            || self.loads.waiting.is_empty()
            || self.ready.iter().map(Pending::commands).sum::<usize>() >= COMMANDS_MAX
        {
            return;
        }
        let next = within(COMMANDS_MAX, self.loads.waiting.iter().map(|(pending, _)| pending));
        let rest = self.loads.waiting.split_off(next);
        let commands = std::mem::replace(&mut self.loads.waiting, rest);
        let mut ids: Vec<AccountId> = commands.iter().flat_map(|(_, ids)| ids).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut by_shard = vec![Vec::new(); identity.shards.as_usize()];
        for id in ids {
            by_shard[id.shard(identity.shards).index()].push(id);
        }
        let reads = connections.reads.clone();
        let answer = Reading::begin(async move {
            let mut loaded = Vec::new();
            for (shard, ids) in identity.shards.shards().zip(by_shard) {
                if !ids.is_empty() {
                    loaded.push((shard, reads.load(shard, &ids).await?.1));
                }
            }
            Ok(loaded)
        });
        self.metrics.loads.inc();
        self.loads.running =
            Some(Running { commands, epoch: self.epoch, learned: Learned::default(), answer });
    }

    /// Puts loaded accounts in memory, brought up to what was learned from others since the load began. If not all of that
    /// was learned, they are loaded again.
    pub(super) fn install(&mut self, loaded: Loaded) {
        let Loaded { commands, epoch, learned, accounts } = loaded;
        let accounts = match accounts {
            Ok(accounts) if epoch == self.epoch => accounts,
            Ok(_) => return self.loads.waiting.splice(..0, commands).for_each(drop),
            Err(error) => {
                self.loads.waiting.splice(..0, commands).for_each(drop);
                return self.note_failure(&error);
            }
        };
        for (shard, accounts) in accounts {
            for LoadedAccount { number, opening, opened_at, state } in accounts {
                let id = opening.account_id.clone();
                let account = Account { number, opening, state };
                let cached = learned.newest(CachedAccount::stored(shard, account, opened_at));
                self.remember(&id, Slot::Present(cached));
            }
        }
        for id in commands.iter().flat_map(|(_, ids)| ids) {
            let opened = learned.opened.get(id).map(|cached| learned.newest(cached.clone()));
            self.remember(id, opened.map_or(Slot::Absent, Slot::Present));
        }
        self.metrics.accounts_in_memory(self.accounts.len());
        self.go_on(commands.into_iter().map(|(pending, _)| pending).collect());
    }

    /// Notes what was loaded, if nothing is known yet: what is known includes decisions under way.
    fn remember(&mut self, id: &AccountId, slot: Slot) {
        if self.accounts.get(id).is_none() {
            self.accounts.set(id, slot);
        }
    }
}

//! Loading accounts that are not in memory, beside the decisions on those that are.

use event_store::{Error, LoadedAccount};
use futures::future::BoxFuture;
use ledger::{Account, AccountId, Shard};

use super::{
    Pending, Sequencer,
    accounts::{CachedAccount, Slot},
};

/// Most commands that one load serves, so that the accounts it brings fit in the cache many times over.
const COMMANDS_MAX: usize = 1024;

/// Commands whose accounts are not in memory.
#[derive(Default)]
pub(super) struct Loads {
    waiting: Vec<(Pending, Vec<AccountId>)>,
    running: Option<Running>,
}

struct Running {
    commands: Vec<(Pending, Vec<AccountId>)>,
    epoch: u64,
    answer: BoxFuture<'static, Result<Vec<(Shard, Vec<LoadedAccount>)>, Error>>,
}

/// A load that has ended.
pub(super) struct Loaded {
    commands: Vec<(Pending, Vec<AccountId>)>,
    epoch: u64,
    accounts: Result<Vec<(Shard, Vec<LoadedAccount>)>, Error>,
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
        let accounts = (&mut running.answer).await;
        let Some(Running { commands, epoch, .. }) = self.running.take() else {
            return std::future::pending().await;
        };
        Loaded { commands, epoch, accounts }
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
        if self.loads.running.is_some() || self.loads.waiting.is_empty() {
            return;
        }
        let rest = self.loads.waiting.split_off(self.loads.waiting.len().min(COMMANDS_MAX));
        let commands = std::mem::replace(&mut self.loads.waiting, rest);
        let mut ids: Vec<AccountId> = commands.iter().flat_map(|(_, ids)| ids).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut by_shard = vec![Vec::new(); identity.shards.as_usize()];
        for id in ids {
            by_shard[usize::from(id.shard(identity.shards).get().unsigned_abs())].push(id);
        }
        let reads = connections.reads.clone();
        let answer = Box::pin(async move {
            let mut loaded = Vec::new();
            for (shard, ids) in identity.shards.shards().zip(by_shard) {
                if !ids.is_empty() {
                    loaded.push((shard, reads.load(shard, &ids).await?.1));
                }
            }
            Ok(loaded)
        });
        self.metrics.loads.inc();
        self.loads.running = Some(Running { commands, epoch: self.epoch, answer });
    }

    /// Puts loaded accounts in memory, unless rows of others were learned since the load began: they may be missing in it,
    /// and it is then made again.
    pub(super) fn install(&mut self, loaded: Loaded) {
        let Loaded { commands, epoch, accounts } = loaded;
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
                self.remember(&id, Slot::Present(CachedAccount::stored(shard, account, opened_at)));
            }
        }
        for (_, ids) in &commands {
            for id in ids {
                self.remember(id, Slot::Absent);
            }
        }
        self.metrics.accounts_in_memory(self.accounts.len());
        for (pending, _) in commands.into_iter().rev() {
            self.ready.push_front(pending);
        }
    }

    /// Notes what was loaded, if nothing is known yet: what is known includes decisions under way.
    fn remember(&mut self, id: &AccountId, slot: Slot) {
        if self.accounts.get(id).is_none() {
            self.accounts.set(id, slot);
        }
    }
}

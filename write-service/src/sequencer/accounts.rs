//! Accounts in memory, as they stand after everything decided so far, stored or under way.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, OnceLock},
};

use ledger::{Account, AccountId, AccountNumber, Shard, Timestamp};

/// An account in memory.
#[derive(Debug, Clone)]
pub(crate) struct CachedAccount {
    pub(crate) shard: Shard,
    pub(crate) account: Account,
    /// When its opening was recorded; not known while the opening is under way.
    pub(crate) opened_at: Arc<OnceLock<Timestamp>>,
}

impl CachedAccount {
    /// An account that is in the log.
    pub(crate) fn stored(shard: Shard, account: Account, opened_at: Timestamp) -> Self {
        Self { shard, account, opened_at: Arc::new(OnceLock::from(opened_at)) }
    }
}

/// What is known of an account id.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// There is no such account.
    Absent,
    /// There is.
    Present(CachedAccount),
}

impl Slot {
    pub(crate) fn cached(&self) -> Option<&CachedAccount> {
        match self {
            Self::Absent => None,
            Self::Present(cached) => Some(cached),
        }
    }
}

/// A bounded map. Two generations: what was used since the last turn is young; at a turn the young become old and the old,
/// which nobody has used for a whole generation, are dropped.
#[derive(Debug)]
pub(crate) struct AccountCache {
    young: Generation,
    old: Generation,
    generation_max: usize,
}

#[derive(Debug, Default)]
struct Generation {
    slots: HashMap<AccountId, Slot>,
    ids: HashMap<(Shard, AccountNumber), AccountId>,
}

impl AccountCache {
    /// At most about `accounts_max` accounts. To be more than twice what all batches under way and the loads can touch: an
    /// account with a decision under way must not be dropped, and a whole generation passes before one is.
    pub(crate) fn new(accounts_max: usize) -> Self {
        let generation_max = accounts_max / 2;
        Self { young: Generation::default(), old: Generation::default(), generation_max }
    }

    pub(crate) fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.young.slots.len() + self.old.slots.len()
    }

    /// What is known of an id; `None` when nothing is.
    pub(crate) fn get(&mut self, id: &AccountId) -> Option<&Slot> {
        if !self.young.contains_key(id) {
            let (id, slot) = self.old.slots.remove_entry(id)?;
            self.young.insert(id, slot);
        }
        self.young.slots.get(id)
    }

    /// Notes what is known of an id now, and gives what was known before.
    pub(crate) fn set(&mut self, id: &AccountId, slot: Slot) -> Option<Slot> {
        let before = self.young.slots.remove(id).or_else(|| self.old.slots.remove(id));
        if self.young.slots.len() >= self.generation_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(id.clone(), slot);
        before
    }

    /// Forgets an id.
    pub(crate) fn remove(&mut self, id: &AccountId) {
        self.young.slots.remove(id);
        self.old.slots.remove(id);
    }

    /// The account with a number, if it is in memory.
    pub(crate) fn by_number(
        &mut self,
        shard: Shard,
        number: AccountNumber,
    ) -> Option<CachedAccount> {
        let key = (shard, number);
        let id = self.young.ids.get(&key).or_else(|| self.old.ids.get(&key))?.clone();
        match self.get(&id)? {
            // An id that was forgotten and opened anew in between has another number.
            Slot::Present(cached) if cached.account.number == number => Some(cached.clone()),
            _ => None,
        }
    }
}

impl Generation {
    fn contains_key(&self, id: &AccountId) -> bool {
        self.slots.contains_key(id)
    }

    fn insert(&mut self, id: AccountId, slot: Slot) {
        if let Slot::Present(cached) = &slot {
            self.ids.insert((cached.shard, cached.account.number), id.clone());
        }
        self.slots.insert(id, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> AccountId {
        AccountId::new(&format!("a{number}")).unwrap()
    }

    #[test]
    fn what_was_used_within_a_generation_is_kept_and_the_rest_is_bounded() {
        const ACCOUNTS_MAX: usize = 1_000;
        let mut cache = AccountCache::new(ACCOUNTS_MAX);
        for number in 0..ACCOUNTS_MAX * 4 {
            cache.set(&id(number), Slot::Absent);
            assert!(cache.get(&id(0)).is_some(), "used all the time");
            assert!(cache.len() <= ACCOUNTS_MAX + 2);
        }
        assert!(cache.get(&id(ACCOUNTS_MAX)).is_none(), "not used for long");
        for number in ACCOUNTS_MAX * 4 - ACCOUNTS_MAX / 2..ACCOUNTS_MAX * 4 {
            assert!(cache.get(&id(number)).is_some(), "a whole generation has not passed");
        }
    }
}

//! Places for commands that wait, and who has them: however much one caller sends, there is room for another.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Instant,
};

use super::patience::Patience;
use crate::answer::NoPlace;

/// The part of all places that is kept for callers who have less than their share.
const KEPT_FOR_OTHERS: usize = 8;

/// Who takes turns: a caller who said who it is, or whatever comes over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Party(u64);

impl Party {
    /// Of a call. Two that come to the same number share their turns, which harms nobody much.
    pub(crate) fn of(actor: Option<&str>, connection: Option<u64>) -> Self {
        /// Nobody outside can know which names come to the same number.
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(match actor {
            Some(actor) => SEED.hash_one(actor),
            None => SEED.hash_one(connection),
        })
    }
}

/// All places, taken and free.
#[derive(Debug, Clone)]
pub(super) struct Hall {
    places: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug)]
struct Taken {
    all: usize,
    /// Of those who have any.
    by_party: HashMap<Party, usize>,
    patience: Patience,
}

impl Hall {
    pub(super) fn new(places: usize) -> Self {
        let patience = Patience::new(Instant::now());
        let taken = Taken { all: 0, by_party: HashMap::new(), patience };
        Self { places, taken: Arc::new(Mutex::new(taken)) }
    }

    /// So many places for one caller, at once or not at all. The last eighth is for those who have less than an equal
    /// share, with one share left for a caller who has not come yet; but where nobody waits, nobody is made to.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub(super) fn take(&self, party: Party, count: usize) -> Result<Places, NoPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(free) = (self.places - taken.all).checked_sub(count) else {
            let retry_after = taken.patience.refuse(count, Instant::now());
            return Err(NoPlace { is_own_fault: false, retry_after });
        };
        let (taken_by_all, parties) = (taken.all, taken.by_party.len());
        let has = taken.by_party.entry(party).or_default();
        if taken_by_all > 0 && free < self.places / KEPT_FOR_OTHERS {
            let parties = if *has == 0 { parties + 1 } else { parties };
            if *has + count > self.places / (parties + 1) {
                if *has == 0 {
                    taken.by_party.remove(&party);
                }
                let retry_after = taken.patience.refuse(count, Instant::now());
                return Err(NoPlace { is_own_fault: true, retry_after });
            }
        }
        *has += count;
        taken.all += count;
        Ok(Places { party, count, taken: self.taken.clone() })
    }
}

/// Places for commands that wait, until they are dropped.
#[derive(Debug)]
pub(crate) struct Places {
    party: Party,
    count: usize,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// One of them.
    pub(crate) fn take_one(&mut self) -> Option<Self> {
        self.count = self.count.checked_sub(1)?;
        Some(Self { count: 1, taken: self.taken.clone(), ..*self })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.count;
        taken.patience.serve(self.count);
        if let Some(has) = taken.by_party.get_mut(&self.party) {
            *has -= self.count;
            if *has == 0 {
                taken.by_party.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(connection: u64) -> Party {
        Party::of(None, Some(connection))
    }

    #[test]
    fn who_has_the_most_leaves_room_for_others() {
        let hall = Hall::new(80);
        let greedy: Vec<_> = (0..200).map_while(|_| hall.take(party(1), 1).ok()).collect();
        assert_eq!(greedy.len(), 70);
        assert!(matches!(hall.take(party(1), 1), Err(NoPlace { is_own_fault: true, .. })));
        let others: Vec<_> =
            (2..=11).map(|port| hall.take(party(port), 1).expect("has none yet")).collect();
        assert!(matches!(hall.take(party(12), 1), Err(NoPlace { is_own_fault: false, .. })));
        drop((greedy, others));
        drop(hall.take(party(1), 80).expect("nobody else is there"));
        assert!(hall.taken.lock().unwrap().by_party.is_empty(), "who has none is not remembered");
    }

    #[test]
    fn who_is_known_is_one_party_however_many_connections_it_has() {
        assert_eq!(
            Party::of(Some("token:alice"), Some(1)),
            Party::of(Some("token:alice"), Some(2))
        );
        assert_ne!(Party::of(Some("token:alice"), Some(1)), Party::of(Some("token:bob"), Some(1)));
        assert_ne!(Party::of(None, Some(1)), Party::of(None, Some(2)));
    }

    #[test]
    fn places_are_taken_all_or_none_and_each_is_given_back_once() {
        let hall = Hall::new(5);
        let mut four = hall.take(party(1), 4).unwrap();
        assert!(matches!(hall.take(party(1), 2), Err(NoPlace { is_own_fault: false, .. })));
        let one = four.take_one().unwrap();
        drop(four);
        assert_eq!(hall.taken.lock().unwrap().all, 1);
        drop(one);
        assert_eq!(hall.taken.lock().unwrap().all, 0);
        assert!(hall.take(party(1), 0).unwrap().take_one().is_none());
    }
}

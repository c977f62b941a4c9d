//! A limited number of places, and who has them: however much one caller takes, there is room for another.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The part of all places that is kept for callers who have less than their share.
const KEPT_FOR_OTHERS: usize = 8;

/// Who takes turns and places: a caller who said who it is, or whatever comes over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party(u64);

impl Party {
    /// Of a call. Two that come to the same number share their turns, which harms nobody much.
    #[must_use]
    pub fn of(actor: Option<&str>, connection: Option<u64>) -> Self {
        /// Nobody outside can know which names come to the same number.
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(match actor {
            Some(actor) => SEED.hash_one(actor),
            None => SEED.hash_one(connection),
        })
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoShare {
    /// All, or nearly all, are taken.
    Full,
    /// What is left is for others: this caller has its share.
    KeptForOthers,
}

/// All places, taken and free.
#[derive(Debug)]
pub struct Shares {
    places: usize,
    taken: usize,
    /// Of those who have any.
    by_party: HashMap<Party, usize>,
}

impl Shares {
    /// So many places, all of them free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places, taken: 0, by_party: HashMap::new() }
    }

    /// So many places for one caller, at once or not at all. The last eighth is for those who have less than an equal
    /// share, with one share left for a caller who has not come yet; but where nobody waits, nobody is made to.
    ///
    /// # Errors
    /// [`NoShare`].
    pub fn take(&mut self, party: Party, count: usize) -> Result<(), NoShare> {
        let free = (self.places - self.taken).checked_sub(count).ok_or(NoShare::Full)?;
        let has = self.by_party.get(&party).copied().unwrap_or_default();
        if self.taken > 0 && free < self.places / KEPT_FOR_OTHERS {
            let parties = self.by_party.len() + usize::from(has == 0);
            if has + count > self.places / (parties + 1) {
                return Err(NoShare::KeptForOthers);
            }
        }
        self.taken += count;
        if count > 0 {
            self.by_party.insert(party, has + count);
        }
        Ok(())
    }

    /// So many places, which this caller had taken, are free again.
    pub fn give_back(&mut self, party: Party, count: usize) {
        self.taken -= count;
        if let Some(has) = self.by_party.get_mut(&party) {
            *has -= count;
            if *has == 0 {
                self.by_party.remove(&party);
            }
        }
    }

    /// Places that are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
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
        let mut shares = Shares::new(80);
        let greedy = (0..200).map_while(|_| shares.take(party(1), 1).ok()).count();
        assert_eq!(greedy, 70);
        assert_eq!(shares.take(party(1), 1), Err(NoShare::KeptForOthers));
        for port in 2..=11 {
            shares.take(party(port), 1).expect("has none yet");
        }
        assert_eq!(shares.take(party(12), 1), Err(NoShare::Full));
        shares.give_back(party(1), 70);
        (2..=11).for_each(|port| shares.give_back(party(port), 1));
        assert!(shares.by_party.is_empty(), "who has none is not remembered");
        shares.take(party(1), 80).expect("nobody else is there");
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
}

//! Places for commands that wait, and how long those are told to wait who get none.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use service_kit::shares::{NoShare, Party, Shares};

use super::patience::Patience;
use crate::answer::NoPlace;

/// All places, taken and free.
#[derive(Debug, Clone)]
pub(super) struct Hall(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    shares: Shares,
    patience: Patience,
}

impl Hall {
    pub(super) fn new(places: usize) -> Self {
        let patience = Patience::new(Instant::now());
        Self(Arc::new(Mutex::new(Taken { shares: Shares::new(places), patience })))
    }

    /// So many places for one caller, at once or not at all, as [`Shares::take`] gives them.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub(super) fn take(&self, party: Party, count: usize) -> Result<Places, NoPlace> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.shares.take(party, count) {
            Ok(()) => Ok(Places { party, count, hall: self.clone() }),
            Err(why) => {
                let retry_after = taken.patience.refuse(count, Instant::now());
                Err(NoPlace { is_own_fault: why == NoShare::KeptForOthers, retry_after })
            }
        }
    }
}

/// Places for commands that wait, until they are dropped.
#[derive(Debug)]
pub(crate) struct Places {
    party: Party,
    count: usize,
    hall: Hall,
}

impl Places {
    /// One of them.
    pub(crate) fn take_one(&mut self) -> Option<Self> {
        self.count = self.count.checked_sub(1)?;
        Some(Self { count: 1, hall: self.hall.clone(), ..*self })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut taken = self.hall.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.shares.give_back(self.party, self.count);
        taken.patience.serve(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(connection: u64) -> Party {
        Party::of(None, Some(connection))
    }

    #[test]
    fn who_gets_none_is_told_whether_it_is_his_own_fault() {
        let hall = Hall::new(80);
        let _greedy: Vec<_> = (0..200).map_while(|_| hall.take(party(1), 1).ok()).collect();
        assert!(matches!(hall.take(party(1), 1), Err(NoPlace { is_own_fault: true, .. })));
        let _others: Vec<_> =
            (2..=11).map(|port| hall.take(party(port), 1).expect("has none yet")).collect();
        assert!(matches!(hall.take(party(12), 1), Err(NoPlace { is_own_fault: false, .. })));
    }

    #[test]
    fn places_are_taken_all_or_none_and_each_is_given_back_once() {
        let hall = Hall::new(5);
        let taken = || hall.0.lock().unwrap().shares.taken();
        let mut four = hall.take(party(1), 4).unwrap();
        assert!(matches!(hall.take(party(1), 2), Err(NoPlace { is_own_fault: false, .. })));
        let one = four.take_one().unwrap();
        drop(four);
        assert_eq!(taken(), 1);
        drop(one);
        assert_eq!(taken(), 0);
        assert!(hall.take(party(1), 0).unwrap().take_one().is_none());
    }
}

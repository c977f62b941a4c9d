//! Places for commands that wait, and who has them: however much one caller sends, there is room for another.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::answer::CommandError;

/// The part of all places that is kept for callers who have less than their share.
const KEPT_FOR_OTHERS: usize = 8;

/// Who sends commands. What shares a connection shares its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Caller(Option<SocketAddr>);

impl Caller {
    /// Whoever is at the other end of a connection.
    pub(crate) fn at(addr: Option<SocketAddr>) -> Self {
        Self(addr)
    }
}

/// All places, taken and free.
#[derive(Debug, Clone)]
pub(super) struct Hall {
    places: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of those who have any.
    by_caller: HashMap<Caller, usize>,
}

impl Hall {
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: Arc::default() }
    }

    /// So many places for one caller, at once or not at all. The last eighth is for those who have less than an equal
    /// share, with one share left for a caller who has not come yet.
    ///
    /// # Errors
    /// [`CommandError::Overloaded`], [`CommandError::OverShare`].
    pub(super) fn take(&self, caller: Caller, count: usize) -> Result<Places, CommandError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (self.places - taken.all).checked_sub(count).ok_or(CommandError::Overloaded)?;
        let callers = taken.by_caller.len();
        let has = taken.by_caller.entry(caller).or_default();
        if free < self.places / KEPT_FOR_OTHERS {
            let callers = if *has == 0 { callers + 1 } else { callers };
            if *has + count > self.places / (callers + 1) {
                if *has == 0 {
                    taken.by_caller.remove(&caller);
                }
                return Err(CommandError::OverShare);
            }
        }
        *has += count;
        taken.all += count;
        Ok(Places { caller, count, taken: self.taken.clone() })
    }
}

/// Places for commands that wait, until they are dropped.
#[derive(Debug)]
pub(crate) struct Places {
    caller: Caller,
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
        if let Some(has) = taken.by_caller.get_mut(&self.caller) {
            *has -= self.count;
            if *has == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(port: u16) -> Caller {
        Caller::at(Some(SocketAddr::from(([127, 0, 0, 1], port))))
    }

    #[test]
    fn who_has_the_most_leaves_room_for_others() {
        let hall = Hall::new(80);
        let greedy: Vec<_> = (0..200).map_while(|_| hall.take(caller(1), 1).ok()).collect();
        assert_eq!(greedy.len(), 70);
        assert!(matches!(hall.take(caller(1), 1), Err(CommandError::OverShare)));
        let others: Vec<_> =
            (2..=11).map(|port| hall.take(caller(port), 1).expect("has none yet")).collect();
        assert!(matches!(hall.take(caller(12), 1), Err(CommandError::Overloaded)));
        drop((greedy, others));
        assert!(hall.take(caller(1), 70).is_ok());
        assert!(hall.taken.lock().unwrap().by_caller.is_empty(), "who has none is not remembered");
    }

    #[test]
    fn places_are_taken_all_or_none_and_each_is_given_back_once() {
        let hall = Hall::new(5);
        let mut four = hall.take(caller(1), 4).unwrap();
        assert!(matches!(hall.take(caller(1), 2), Err(CommandError::Overloaded)));
        let one = four.take_one().unwrap();
        drop(four);
        assert_eq!(hall.taken.lock().unwrap().all, 1);
        drop(one);
        assert_eq!(hall.taken.lock().unwrap().all, 0);
        assert!(hall.take(caller(1), 0).unwrap().take_one().is_none());
    }
}

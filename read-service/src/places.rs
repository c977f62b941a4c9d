//! Places for calls, of which one caller cannot have all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use service_kit::shares::{NoShare, Party, Shares};

/// All places, taken and free.
pub(crate) struct Places(Mutex<Shares>);

impl Places {
    pub(crate) fn new(places: u32) -> Self {
        Self(Mutex::new(Shares::new(usize::try_from(places).unwrap_or(usize::MAX))))
    }

    /// One place, if there is one for this caller.
    ///
    /// # Errors
    /// [`NoShare`].
    pub(crate) fn take(&self, party: Party) -> Result<Place<'_>, NoShare> {
        self.shares().take(party, 1)?;
        Ok(Place { places: self, party })
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place until it is dropped.
pub(crate) struct Place<'a> {
    places: &'a Places,
    party: Party,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.shares().give_back(self.party, 1);
    }
}

//! Failpoints: before and after every use of a store, a test can end the process, hold it up, or make it believe that the
//! store failed.
//!
//! Builds with debug assertions have them, release builds do not. A process does nothing of it unless
//! `COUNTERFOIL_FAILPOINTS` says so when it starts:
//!
//! ```text
//! COUNTERFOIL_FAILPOINTS="after append=abort@3; before commit a page=pause 500; after load accounts=fail@2"
//! ```
//!
//! Each is a moment, a use of a store by the words that stand in its errors, what to do, and at which time of passing it,
//! counted from 1, or at the first. `trace` alone does nothing but name in the log each point that is passed.
//!
//! - `abort`: the process is gone at once, as by SIGKILL.
//! - `pause N`: for N milliseconds. Before a use all of the process stands still, as by SIGSTOP, so that what is sent keeps its
//!   order; after it only who waits for the answer does.
//! - `fail`: the store is not asked, or its answer is thrown away, as when a connection breaks before or after.

mod plan;

use self::plan::{Action, Moment};

/// What the caller takes for a failure of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected;

/// To be passed before a store is used.
///
/// # Errors
/// [`Injected`]: do not use it, as if it could not be reached.
#[inline]
pub fn before(doing: &str) -> Result<(), Injected> {
    match reached(Moment::Before, doing) {
        Some(Action::Pause(time)) => {
            std::thread::sleep(time);
            Ok(())
        }
        Some(Action::Fail) => Err(Injected),
        None => Ok(()),
    }
}

/// To be passed after a store has answered.
///
/// # Errors
/// [`Injected`]: throw the answer away, as if it had been lost.
#[inline]
pub async fn after(doing: &str) -> Result<(), Injected> {
    match reached(Moment::After, doing) {
        Some(Action::Pause(time)) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Some(Action::Fail) => Err(Injected),
        None => Ok(()),
    }
}

/// Never anything in a release build; all of this is compiled in every build, so that each can be, and left out of those.
#[inline]
fn reached(moment: Moment, doing: &str) -> Option<Action> {
    if cfg!(debug_assertions) { plan::reached(moment, doing) } else { None }
}

//! Reads that go on beside everything else the sequencer does.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// A read that runs whether or not anybody looks at it, and is given up when this is dropped.
///
/// All reads share a connection, which hands out answers in order and waits for each to be taken. A large one that nobody
/// polls, because the sequencer is waiting for another read itself, would hold up that one for ever.
#[derive(Debug)]
pub(super) struct Reading<T>(AbortOnDropHandle<T>);

impl<T: Send + 'static> Reading<T> {
    pub(super) fn begin(read: impl Future<Output = T> + Send + 'static) -> Self {
        #[allow(clippy::disallowed_methods, reason = "owned by what is returned")]
        let task = tokio::spawn(read);
        Self(AbortOnDropHandle::new(task))
    }

    /// What was read, when it was. Safe to drop and call again until it has answered.
    pub(super) async fn ended(&mut self) -> T {
        match (&mut self.0).await {
            Ok(read) => read,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the runtime is going down, and the sequencer with it
            },
        }
    }
}

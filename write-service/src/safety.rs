//! Looking again and again whether the database still keeps what it acknowledges: its settings can change while it runs.

use std::time::Duration;

use event_store::{Control, Error};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Safety {
    /// Nothing is wrong that is known of. That it cannot be asked the sequencer says itself.
    Fine,
    /// An acknowledged command could be lost.
    Unsafe(String),
}

/// Asks until the service ends.
pub(crate) async fn watch_safety(
    database_url: String,
    instance: String,
    safety: watch::Sender<Safety>,
    shutdown: CancellationToken,
) {
    let name = format!("counterfoil-safety/{instance}");
    let mut control: Option<Control> = None;
    loop {
        if control.as_ref().is_none_or(Control::is_closed) {
            control = Control::connect(&database_url, &name).await.ok();
        }
        let found = match &control {
            Some(control) => control.check_safety().await,
            None => Err(Error::Silent("connect")),
        };
        let now = match found {
            Err(Error::Unsafe(why)) => Some(Safety::Unsafe(why)),
            Ok(()) => Some(Safety::Fine),
            // It could not be asked, which says nothing.
            Err(_) => None,
        };
        safety.send_if_modified(|before| match now {
            Some(now) if *before != now => {
                tracing::warn!(safety = ?now, "the database's settings have changed");
                *before = now;
                true
            }
            _ => false,
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(INTERVAL) => {}
        }
    }
}

//! Ringing for the projector after appends: empty, coalesced, and never in anybody's way.

use std::{sync::Arc, time::Duration};

use event_store::Bell;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Pause before connecting again; the projector looks by itself meanwhile.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Rings whenever `appended` is notified, until the service ends. Appends during a ring are one more ring.
pub(crate) async fn ring_for_appends(
    database_url: String,
    instance: String,
    appended: Arc<Notify>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let name = format!("counterfoil-bell/{instance}");
    let ring = async {
        loop {
            let Ok(bell) = Bell::connect(&database_url, &name).await else {
                sleep(RECONNECT_PAUSE).await;
                continue;
            };
            while !bell.is_closed() {
                appended.notified().await;
                if let Err(error) = bell.ring().await {
                    metrics.notify_failures.inc();
                    tracing::debug!(error = %error, "a notification failed; the projector will find out by itself");
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = ring => {}
    }
}

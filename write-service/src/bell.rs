//! Ringing for the projector after appends: empty, coalesced, and never in anybody's way.

use std::{sync::Arc, time::Duration};

use event_store::Bell;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Pause before connecting again; the projector looks by itself meanwhile.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Least time from one ring to the next. A ring costs Postgres and the projector about as much as a small append does; so
/// often, it costs little beside the appends, and delays what is read by no more than this.
const RING_INTERVAL: Duration = Duration::from_micros(250);

/// Rings whenever `appended` is notified, until the service ends. Appends during a ring, or too soon after one, are one more.
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
                let next = Instant::now() + RING_INTERVAL;
                if let Err(error) = bell.ring().await {
                    metrics.notify_failures.inc();
                    tracing::debug!(error = %error, "a notification failed; the projector will find out by itself");
                    break; // a connection that is silent does not close by itself
                }
                sleep_until(next).await;
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = ring => {}
    }
}

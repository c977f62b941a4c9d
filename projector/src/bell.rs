//! Hearing the log's bell. It wakes and never informs: whoever is woken reads the log.

use std::{sync::Arc, time::Duration};

use event_store::{Doorbell, Error};

use crate::{Shared, metrics::of_kind};

/// How long to wait at most for a ring before the connection is looked at again.
const RING_WAIT: Duration = Duration::from_secs(10);

/// How long to wait before listening again after the connection was lost. Polling goes on meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Listens for ever, on as many connections as it takes.
pub(crate) async fn listen(shared: Arc<Shared>) {
    loop {
        if let Err(error) = listen_once(&shared).await {
            shared.metrics.errors.get_or_create(&of_kind("listen")).inc();
            let error = anyhow::Error::new(error);
            tracing::warn!(error = format!("{error:#}"), "not listening; polling instead");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn listen_once(shared: &Shared) -> Result<(), Error> {
    let url = shared.config.database.database_url.expose();
    let mut bell = Doorbell::connect(url, "counterfoil-projector/listen").await?;
    tracing::debug!("listening for appends");
    loop {
        // Also before the first wait: what was appended while nobody listened has not rung.
        shared.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
        bell.wait_at_most(RING_WAIT).await?;
    }
}

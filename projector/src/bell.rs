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
    let mut told = None;
    loop {
        if let Err(error) = listen_once(&shared, &mut told).await {
            shared.metrics.errors.get_or_create(&of_kind("listen")).inc();
            let error = Some(format!("{:#}", anyhow::Error::new(error)));
            if told != error {
                tracing::warn!(error, "not listening; polling instead");
                told = error;
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Listens on one connection. `told` is what was last said to be wrong.
async fn listen_once(shared: &Shared, told: &mut Option<String>) -> Result<(), Error> {
    let url = shared.config.database.database_url.expose();
    let mut bell = Doorbell::connect(url, "counterfoil-projector/listen").await?;
    match told.take() {
        Some(_) => tracing::info!("listening for appends again"),
        None => tracing::debug!("listening for appends"),
    }
    loop {
        // Also before the first wait: what was appended while nobody listened has not rung.
        shared.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
        bell.wait_at_most(RING_WAIT).await?;
    }
}

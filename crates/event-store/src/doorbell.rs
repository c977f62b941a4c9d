//! The bell between writer and projector: it says that something is new, never what. Everything works without it.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    Error,
    connect::{Connection, Purpose, answer_in_time, connect},
};

/// The channel.
const CHANNEL: &str = "counterfoil_events";

/// Hears the bell.
#[derive(Debug)]
pub struct Doorbell {
    connection: Connection,
}

impl Doorbell {
    /// Connects and listens. When this returns, whatever is appended from now on rings.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(database_url: &str, application_name: &str) -> Result<Self, Error> {
        let connection = connect(database_url, application_name, Purpose::Read).await?;
        let listen = format!("LISTEN {CHANNEL}");
        answer_in_time("listen", connection.client.batch_execute(&listen)).await?;
        Ok(Self { connection })
    }

    /// Waits until it rings, but not longer than `time`. Rings that came together count as one.
    ///
    /// # Errors
    /// [`Error::Settings`] when the connection is lost: connect again, and read before waiting.
    pub async fn wait_at_most(&mut self, time: Duration) -> Result<(), Error> {
        match tokio::time::timeout(time, self.connection.notifications.recv()).await {
            Err(_) => Ok(()),
            Ok(Some(_)) => {
                while self.connection.notifications.try_recv().is_ok() {}
                Ok(())
            }
            Ok(None) => Err(Error::Settings("the listening connection is lost".into())),
        }
    }
}

/// Rings the bell.
#[derive(Debug, Clone)]
pub struct Bell {
    connection: Arc<Connection>,
}

impl Bell {
    /// Connects. Its commits do not wait for the disk: nothing of them is worth keeping.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(url: &str, application_name: &str) -> Result<Self, Error> {
        Ok(Self { connection: Arc::new(connect(url, application_name, Purpose::Control).await?) })
    }

    /// Rings once.
    ///
    /// # Errors
    /// When the database fails; the caller counts it and goes on.
    pub fn ring(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let connection = self.connection.clone();
        async move {
            let ring = connection.client.batch_execute("NOTIFY counterfoil_events");
            answer_in_time("ring the bell", ring).await
        }
    }

    /// Whether the connection is known to be lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }
}

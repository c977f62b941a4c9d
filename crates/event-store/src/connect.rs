//! Connections to the log. Each has a purpose, and settings that fit it.

use std::{str::FromStr, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

use crate::Error;

/// How long to wait for a server to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A silent peer is asked after this, and given up after [`SILENCE_MAX`]: the defaults are hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// Unanswered data is given up after this, so that a cut link is noticed while callers still wait.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a statement may take before its connection is given up: longer than the server makes anything wait
/// ([`LOCK_WAIT`]), and short of where callers lose patience. Something on the way may take our bytes and go no further, which no
/// setting of the socket notices.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The same for the server: it lets go of clients that are gone, and of what they have locked.
const SERVER_KEEPALIVE: &str = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 \
     -c tcp_keepalives_count=3 -c tcp_user_timeout=10000";

/// How long the server makes a statement wait for what another one holds.
const LOCK_WAIT: &str = "-c lock_timeout=5s";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Appending, as the writer's role.
    Append,
    /// Reading for the writer.
    WriterRead,
    /// Reading for everybody else.
    Read,
    /// The same for one who stops taking an answer now and then.
    ReadSlowly,
    /// As the login itself: ending old connections, looking at settings, ringing the bell.
    Control,
    /// Changing the schema, as the login itself.
    Migrate,
}

impl Purpose {
    /// Settings sent with the connection, so that no default of a role or database weakens or slows it.
    ///
    /// Index scans are forced: a statement planned while a table was empty would otherwise read all of it for ever.
    /// An append waits at most 5 s for a head that another append holds (see [`crate::fence`]).
    fn options(self) -> String {
        const PLANS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off -c plan_cache_mode=force_generic_plan";
        match self {
            Self::Append => format!(
                "-c role=counterfoil_writer -c synchronous_commit=on \
                 -c default_transaction_isolation=read\\ committed {PLANS}"
            ),
            Self::WriterRead => format!("-c role=counterfoil_writer {PLANS}"),
            Self::Read => format!("-c role=counterfoil_projector {PLANS}"),
            // The server would take one who lets it wait for one who is gone.
            Self::ReadSlowly => format!("{} -c tcp_user_timeout=0", Self::Read.options()),
            // Nothing durable is written here, and the bell must not wait for the disk.
            Self::Control => "-c synchronous_commit=off -c client_min_messages=warning".to_owned(),
            Self::Migrate => "-c synchronous_commit=on -c client_min_messages=warning".to_owned(),
        }
    }
}

/// One connection with the task that drives it. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection {
    /// To send statements with.
    pub client: Client,
    driver: JoinHandle<()>,
    /// What LISTEN brings; nobody else has to read it.
    pub(crate) notifications: mpsc::UnboundedReceiver<Notification>,
    /// Its other end is dropped with the connection's end.
    open: watch::Receiver<()>,
}

impl Connection {
    /// Waits until the connection is known to be lost.
    pub async fn closed(&self) {
        let mut open = self.open.clone();
        while open.changed().await.is_ok() {}
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects.
///
/// # Errors
/// [`Error::Settings`] for a URL that is none; otherwise as [`Error::of`] sorts them.
pub async fn connect(
    url: &str,
    application_name: &str,
    purpose: Purpose,
) -> Result<Connection, Error> {
    let mut config = Config::from_str(url)
        .map_err(|_| Error::Settings("DATABASE_URL is not a Postgres connection string".into()))?;
    let options = match config.get_options() {
        Some(given) => format!("{given} {SERVER_KEEPALIVE} {LOCK_WAIT} {}", purpose.options()),
        None => format!("{SERVER_KEEPALIVE} {LOCK_WAIT} {}", purpose.options()),
    };
    config
        .application_name(application_name)
        .options(options)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .tcp_user_timeout(SILENCE_MAX);
    failpoints::before("connect").map_err(|_| Error::Silent("connect"))?;
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT * 2, config.connect(NoTls)).await;
    let (client, mut connection) = match attempt {
        Ok(connected) => connected.map_err(|cause| Error::of("connect", cause))?,
        Err(_) => return Err(Error::Silent("connect")),
    };
    let (sender, notifications) = mpsc::unbounded_channel();
    let (is_open, open) = watch::channel(());
    // Owned by the Connection, which aborts it. Driven by messages, because as a plain future it would drop notifications.
    #[allow(clippy::disallowed_methods, reason = "owned by Connection")]
    let driver = tokio::spawn(async move {
        let _is_open = is_open;
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    let _ = sender.send(notification); // nobody listens: not a LISTEN connection
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(error = %error, "database connection lost");
                    return;
                }
                None => return,
            }
        }
    });
    Ok(Connection { client, driver, notifications, open })
}

/// Waits for an answer, but not for ever.
pub(crate) async fn answer_in_time<T>(
    doing: &'static str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let silent = |_injected| Error::Silent(doing);
    failpoints::before(doing).map_err(silent)?;
    let answer = match tokio::time::timeout(ANSWER_PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|cause| Error::of(doing, cause)),
        Err(_) => Err(Error::Silent(doing)),
    };
    failpoints::after(doing).await.map_err(silent)?;
    answer
}

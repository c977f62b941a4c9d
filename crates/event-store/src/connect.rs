//! Connections to the log. Each has a purpose, and settings that fit it.

use std::{net::IpAddr, str::FromStr, time::Duration};

use store_tls::{Protection, StoreUrl};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Notification, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
    error::SqlState,
    tls::{MakeTlsConnect, TlsStream},
};

use crate::{Error, tls::Tls};

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

/// What statements mean, whatever a role or database has for a default: names are those of Postgres unless their schema is named, and a
/// statement that has waited sees what was committed meanwhile.
const MEANING: &str = "-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed -c quote_all_identifiers=off";

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
    /// Whether a standby is of no use for it.
    fn is_of_the_primary(self) -> bool {
        !matches!(self, Self::Read | Self::ReadSlowly)
    }

    /// Settings sent with the connection, so that no default of a role or database weakens or slows it.
    ///
    /// Index scans are forced: a statement planned while a table was empty would otherwise read all of it for ever.
    /// An append waits at most 5 s for a head that another append holds (see [`crate::fence`]).
    fn options(self) -> String {
        const PLANS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off -c plan_cache_mode=force_generic_plan";
        match self {
            // What is found for the writer is answered for, so it waits for what an append waits for.
            Self::Append | Self::WriterRead => {
                format!("-c role=counterfoil_writer -c synchronous_commit=on {PLANS}")
            }
            // What is read is shown, and waits for the same ([`Connection::standbys_have_it`]).
            Self::Read => format!("-c role=counterfoil_projector -c synchronous_commit=on {PLANS}"),
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
    /// How the way to the server is protected, if it is.
    tls: Option<Tls>,
}

impl Connection {
    /// Waits until the connection is known to be lost.
    pub async fn closed(&self) {
        let mut open = self.open.clone();
        while open.changed().await.is_ok() {}
    }

    /// Waits until everything that could be read so far is where commits are to be, if `synchronous_standby_names` says where.
    ///
    /// # Errors
    /// [`Error::Silent`] when the standbys are away.
    pub(crate) async fn standbys_have_it(&self) -> Result<(), Error> {
        self.wait_for_standbys(include_str!("../sql/standbys_have_it.sql")).await
    }

    /// The same for one who has just connected, and will try again and again: one at a time waits, in all of the database.
    ///
    /// # Errors
    /// [`Error::Silent`] when the standbys are away, or do not answer who is waiting already.
    pub(crate) async fn standbys_have_it_in_turn(&self) -> Result<(), Error> {
        let one = include_str!("../sql/one_waits_for_standbys.sql");
        let wait = include_str!("../sql/standbys_have_it.sql");
        self.wait_for_standbys(&format!("{one}{wait}")).await
    }

    async fn wait_for_standbys(&self, sql: &str) -> Result<(), Error> {
        const DOING: &str = "wait for the synchronous standbys";
        match answer_in_time(DOING, self.client.batch_execute(sql)).await {
            Err(Error::Refused { cause, .. })
                if cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
            {
                Err(Error::Silent(DOING))
            }
            Err(silent @ Error::Silent(_)) => {
                // The server would let it wait on, and everybody else behind it.
                let cancel = self.client.cancel_token();
                let cancelling = async {
                    match &self.tls {
                        Some(tls) => cancel.cancel_query(tls.clone()).await,
                        None => cancel.cancel_query(NoTls).await,
                    }
                };
                let _gone_already = tokio::time::timeout(CONNECT_TIMEOUT, cancelling).await;
                Err(silent)
            }
            outcome => outcome,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects, as the URL says: verified in full (`sslmode=verify-full`), or in plain text (`sslmode=disable`), or in plain text
/// without being asked if that does not leave this machine.
///
/// # Errors
/// [`Error::Settings`] for a URL that is none, or that does not say how the way to another machine is protected; otherwise as
/// [`Error::of`] sorts them.
pub async fn connect(
    url: &str,
    application_name: &str,
    purpose: Purpose,
) -> Result<Connection, Error> {
    let (mut config, protection) = read_url(url)?;
    let given = config.get_options().unwrap_or_default();
    let own = purpose.options();
    let options = format!("{given} {SERVER_KEEPALIVE} {LOCK_WAIT} {MEANING} {own}");
    config
        .application_name(application_name)
        .options(options)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .tcp_user_timeout(SILENCE_MAX);
    // One of several hosts: what the writer is told by a standby may be old.
    if config.get_hosts().len() > 1 && purpose.is_of_the_primary() {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    match protection {
        Protection::Verified(certificates) => {
            let tls = Tls::new(&certificates).map_err(|error| unprotected(&error))?;
            config.ssl_mode(SslMode::Require);
            let mut connection = open(&config, tls.clone()).await?;
            connection.tls = Some(tls);
            Ok(connection)
        }
        Protection::Unsaid | Protection::PlainText => {
            config.ssl_mode(SslMode::Disable);
            open(&config, NoTls).await
        }
    }
}

/// The driver's part of a URL, and how the way is protected.
fn read_url(url: &str) -> Result<(Config, Protection), Error> {
    let StoreUrl { rest, protection } =
        StoreUrl::split(url).map_err(|error| unprotected(&error))?;
    let config = Config::from_str(&rest)
        .map_err(|_| Error::Settings("DATABASE_URL is not a Postgres connection string".into()))?;
    // The other form of a connection string, `host=... user=...`, is all the driver's.
    let protection = match (protection, config.get_ssl_mode()) {
        (Protection::Unsaid, SslMode::Disable) => Protection::PlainText,
        (Protection::Unsaid, SslMode::Require) => {
            return Err(unprotected(&store_tls::Error::Mode("require".into())));
        }
        (said, _) => said,
    };
    if protection == Protection::Unsaid && !stays_here(&config) {
        return Err(unprotected(&store_tls::Error::Unsaid));
    }
    Ok((config, protection))
}

/// Whether every host it may lead to is this machine.
fn stays_here(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => store_tls::stays_here(name),
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

fn unprotected(error: &store_tls::Error) -> Error {
    match std::error::Error::source(error) {
        Some(cause) => Error::Settings(format!("DATABASE_URL: {error}: {cause}")),
        None => Error::Settings(format!("DATABASE_URL: {error}")),
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<Connection, Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let silent = |_injected| Error::Silent("connect");
    failpoints::before("connect").map_err(silent)?;
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT * 2, config.connect(tls)).await;
    let (client, connection) = match attempt {
        Ok(connected) => connected.map_err(|cause| Error::of("connect", cause))?,
        Err(_) => return Err(Error::Silent("connect")),
    };
    failpoints::after("connect").await.map_err(silent)?;
    let (sender, notifications) = mpsc::unbounded_channel();
    let (is_open, open) = watch::channel(());
    // Owned by the Connection, which aborts it.
    #[allow(clippy::disallowed_methods, reason = "owned by Connection")]
    let driver = tokio::spawn(async move {
        let _is_open = is_open;
        drive(connection, &sender).await;
    });
    Ok(Connection { client, driver, notifications, open, tls: None })
}

/// Driven by messages, because as a plain future a connection would drop notifications.
async fn drive<T>(
    mut connection: tokio_postgres::Connection<Socket, T>,
    notifications: &mpsc::UnboundedSender<Notification>,
) where
    T: TlsStream + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                let _ = notifications.send(notification); // nobody listens: not a LISTEN connection
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %error, "database connection lost");
                return;
            }
            None => return,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        read_url(url).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn plain_text_stays_on_this_machine_unless_it_is_asked_for_by_name() {
        for url in [
            "postgres://u@127.0.0.1:5432/x",
            "postgres://u@localhost/x",
            "postgres://u@[::1]/x",
            "postgres://u@%2Frun%2Fpostgresql/x",
            "host=/run/postgresql user=u",
            "postgres://u@db.example/x?sslmode=disable",
            "host=db.example user=u sslmode=disable",
            "host=db.example hostaddr=127.0.0.1 user=u",
        ] {
            assert_eq!(refusal(url), "", "{url}");
        }
        for url in [
            "postgres://u:secret@db.example/x",
            "postgres://u:secret@127.0.0.1,10.0.0.1/x",
            "host=db.example user=u password=secret",
            "host=localhost hostaddr=10.0.0.1 user=u password=secret",
        ] {
            let refused = refusal(url);
            assert!(refused.contains("sslmode=verify-full"), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn encryption_that_verifies_nothing_is_refused() {
        for url in ["postgres://u@db/x?sslmode=require", "host=db user=u sslmode=require"] {
            assert!(refusal(url).contains("sslmode=require is not supported"), "{url}");
        }
    }
}

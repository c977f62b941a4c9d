//! A private Postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tokio_postgres::NoTls;

use crate::{
    error::Error, guardian::Guardian, port, postgres_folder::PostgresFolder, server::Server,
    tls::ServerTls,
};

/// The superuser that owns everything in it.
pub(crate) const SUPERUSER: &str = "counterfoil";
/// The database of a server that is kept.
const DATABASE: &str = "counterfoil";
/// How often another free port is tried.
const PORT_ATTEMPTS: usize = 5;
/// After a `kill -9` the old backends go on for a moment, and a new server refuses to start beside them.
const OLD_BACKENDS_TIMEOUT: Duration = Duration::from_secs(20);
/// Enough for many services in one test process, small enough for a laptop.
const CONNECTIONS_MAX: u16 = 300;

/// A Postgres of one's own, on 127.0.0.1. It ends when this process ends or drops it.
#[derive(Debug)]
pub struct Postgres {
    running: Arc<Running>,
    databases: AtomicU64,
}

#[derive(Debug)]
struct Running {
    folder: PostgresFolder,
    port: u16,
    /// Variables that its processes have beside ours.
    environment: Vec<(String, String)>,
    server: Mutex<Server>,
}

impl Postgres {
    /// Starts one in a new temporary folder, which goes with it.
    ///
    /// # Errors
    /// When there is no Postgres on this machine or it does not start.
    pub async fn start_private() -> Result<Self, Error> {
        Self::start_private_with(Vec::new()).await
    }

    /// The same with variables of the environment for its processes.
    ///
    /// # Errors
    /// As [`Postgres::start_private`].
    pub async fn start_private_with(environment: Vec<(String, String)>) -> Result<Self, Error> {
        blocking(move || Self::start(PostgresFolder::temporary()?, environment)).await
    }

    /// The same, and it offers TLS. Plain text is still taken.
    ///
    /// # Errors
    /// As [`Postgres::start_private`].
    pub async fn start_private_with_tls(tls: ServerTls) -> Result<Self, Error> {
        blocking(move || {
            let folder = PostgresFolder::temporary()?;
            folder.add_tls(&tls)?;
            Self::start(folder, Vec::new())
        })
        .await
    }

    /// Starts a hot standby of this one, in a new temporary folder.
    ///
    /// # Errors
    /// When this one does not answer or the other one does not start.
    pub async fn start_standby(&self) -> Result<Self, Error> {
        let url = self.url();
        blocking(move || Self::start(PostgresFolder::standby_of(&url)?, Vec::new())).await
    }

    /// Starts one whose data is kept in `folder`, made there if need be, with a database `counterfoil`.
    /// The caller sees to it that nobody else opens the same folder. A server that a killed process left behind is
    /// stopped first.
    ///
    /// # Errors
    /// When there is no Postgres on this machine, or the folder is of another version, or it does not start.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_path_buf();
        let postgres =
            blocking(move || Self::start(PostgresFolder::kept(&folder)?, Vec::new())).await?;
        let exists = format!("SELECT FROM pg_database WHERE datname = '{DATABASE}'");
        if postgres.run("look for its database", &exists).await? == 0 {
            postgres.run("make its database", &format!("CREATE DATABASE {DATABASE}")).await?;
        }
        Ok(postgres)
    }

    /// Where to connect: the database `counterfoil` of a kept server, `postgres` of a temporary one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(if self.running.folder.is_temporary() { "postgres" } else { DATABASE })
    }

    /// Where to connect for another database.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let Running { folder, port, .. } = &*self.running;
        let password = folder.password.as_ref().map(|word| format!(":{word}")).unwrap_or_default();
        format!("postgres://{SUPERUSER}{password}@127.0.0.1:{port}/{database}")
    }

    /// Makes a fresh, empty database and returns where to connect.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn create_database(&self) -> Result<String, Error> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.run("make a database", &format!("CREATE DATABASE {name}")).await?;
        Ok(self.url_of(&name))
    }

    /// A program that came with the server, such as `pg_dump`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.running.folder.program(name)
    }

    /// Where its data and log are.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.running.folder.log
    }

    /// The process that all its others are children of, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.server().id()
    }

    /// Whether it runs (paused counts).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.server().is_running()
    }

    /// Stops it cleanly, cutting its connections.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || running.server().stop(Signal::INT)).await
    }

    /// `kill -9` of the server process. Its backends notice by themselves, after their present statement.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || running.server().kill()).await
    }

    /// Starts it again on the same port; stops it first if it runs.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || {
            running.server().stop(Signal::INT)?;
            running.start()
        })
        .await
    }

    /// Lets it hang: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<(), Error> {
        self.running.server().signal_all(Signal::STOP)
    }

    /// Goes on after [`Postgres::pause`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), Error> {
        self.running.server().signal_all(Signal::CONT)
    }

    fn start(folder: PostgresFolder, environment: Vec<(String, String)>) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let server = folder.server()?;
            let server = Mutex::new(server);
            let (folder, environment) = (folder.clone(), environment.clone());
            let running = Running { folder, port: port::free_port()?, environment, server };
            match running.start() {
                Err(Error::NotStarted { tail, .. })
                    if tail.contains("could not bind") && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    let running = Arc::new(running);
                    return Ok(Self { running, databases: AtomicU64::new(1) });
                }
            }
        }
    }

    /// Runs one statement in the database `postgres`; returns how many rows it touched or found.
    async fn run(&self, attempt: &'static str, statement: &str) -> Result<u64, Error> {
        let result = async {
            let (client, connection) =
                tokio_postgres::connect(&self.url_of("postgres"), NoTls).await?;
            let connection = pin!(connection);
            tokio::select! {
                touched = client.execute(statement, &[]) => touched,
                ended = connection => ended.map(|()| 0),
            }
        };
        result.await.map_err(|cause| Error::Postgres { attempt, cause })
    }
}

impl Running {
    fn start(&self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let data = &self.folder.data;
            let is_ready = |pid| is_ready(data, pid);
            match self.server().start(self.command(), is_ready) {
                Err(Error::NotStarted { tail, .. })
                    if tail.contains("shared memory block")
                        && begun.elapsed() < OLD_BACKENDS_TIMEOUT =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = self.folder.command("postgres");
        command.envs(self.environment.iter().cloned());
        command.arg("-D").arg(&self.folder.data).args(["-p", &self.port.to_string()]);
        // On by default. What is said here nothing else can change, and a test may want to.
        if !self.folder.is_temporary() {
            for setting in ["fsync=on", "synchronous_commit=on", "full_page_writes=on"] {
                command.args(["-c", setting]);
            }
        }
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "logging_collector=off".to_owned(),
            "log_line_prefix=%m [%p] %a ".to_owned(),
            format!("max_connections={CONNECTIONS_MAX}"),
            format!("ssl={}", if self.folder.has_tls() { "on" } else { "off" }),
        ];
        for setting in settings {
            command.args(["-c", &setting]);
        }
        command
    }

    /// A test that panicked with the lock held has left a server that can still be stopped.
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server with this pid, and no older one, says that it accepts connections.
fn is_ready(data: &Path, pid: Pid) -> bool {
    let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines();
    let first = lines.next().and_then(|line| line.trim().parse().ok());
    first == Some(pid.as_raw_nonzero().get())
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// Keeps the waiting for processes off the caller's async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

impl PostgresFolder {
    fn server(&self) -> Result<Server, Error> {
        // A kept server is shut down with a checkpoint, a temporary one need not bother.
        let signal = if self.is_temporary() { "QUIT" } else { "INT" };
        let guardian = Guardian::start(signal, self.temporary.as_deref())?;
        Ok(Server::new("Postgres", self.log.clone(), guardian))
    }
}

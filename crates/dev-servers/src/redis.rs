//! A private Redis or Valkey.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use uuid::Uuid;

use crate::{
    account::Account,
    binary,
    error::{Error, io_error},
    guardian::Guardian,
    leftover::{self, Leftover},
    port,
    postgres::blocking,
    postgres_folder::temporary_folder,
    server::Server,
    tls::ServerTls,
};

/// How often another free port is tried.
const PORT_ATTEMPTS: usize = 5;
/// A server on this machine that does not answer by then is not ready.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Files of a server that offers TLS.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// A Redis of one's own, on 127.0.0.1. It ends when this process ends or drops it.
#[derive(Debug)]
pub struct Redis {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    folder: RedisFolder,
    port: u16,
    /// Where it offers TLS, if it does.
    tls_port: Option<u16>,
    /// Variables that it has beside ours.
    environment: Vec<(String, String)>,
    server: Mutex<Server>,
}

/// Where it keeps its files, and whether they are kept.
#[derive(Debug, Clone)]
struct RedisFolder {
    path: PathBuf,
    log: PathBuf,
    password: Option<String>,
    is_temporary: bool,
    has_tls: bool,
}

impl RedisFolder {
    fn temporary(has_tls: bool) -> Result<Self, Error> {
        let path = temporary_folder(Account::Own)?;
        let log = path.join("redis.log");
        Ok(Self { path, log, password: None, is_temporary: true, has_tls })
    }
}

impl Redis {
    /// Starts one in a new temporary folder, which goes with it. It keeps its data in memory only: after
    /// [`Redis::restart`] it is empty.
    ///
    /// # Errors
    /// When there is no Redis on this machine or it does not start.
    pub async fn start_private() -> Result<Self, Error> {
        Self::start_private_with(Vec::new()).await
    }

    /// The same with variables of the environment for it.
    ///
    /// # Errors
    /// As [`Redis::start_private`].
    pub async fn start_private_with(environment: Vec<(String, String)>) -> Result<Self, Error> {
        blocking(move || Self::start(RedisFolder::temporary(false)?, environment)).await
    }

    /// The same, and it offers TLS on another port.
    ///
    /// # Errors
    /// As [`Redis::start_private`].
    pub async fn start_private_with_tls(tls: ServerTls) -> Result<Self, Error> {
        blocking(move || {
            let folder = RedisFolder::temporary(true)?;
            for (name, text) in [(CERTIFICATE, &tls.certificate), (KEY, &tls.key)] {
                let file = folder.path.join(name);
                fs::write(&file, text).map_err(io_error(format!("write {}", file.display())))?;
            }
            Self::start(folder, Vec::new())
        })
        .await
    }

    /// Starts one whose data is kept in `folder`. The caller sees to it that nobody else opens the same folder. A server
    /// that a killed process left behind is stopped first.
    ///
    /// # Errors
    /// When there is no Redis on this machine or it does not start.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("redis");
        let log = folder.join("redis.log");
        blocking(move || {
            Account::Own.create_folder(&path)?;
            stop_leftover(&path, &log)?;
            let password = Some(Uuid::new_v4().simple().to_string());
            let folder = RedisFolder { path, log, password, is_temporary: false, has_tls: false };
            Self::start(folder, Vec::new())
        })
        .await
    }

    /// Where to connect.
    #[must_use]
    pub fn url(&self) -> String {
        let Running { folder, port, .. } = &*self.running;
        let password = folder.password.as_ref().map(|word| format!(":{word}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{port}")
    }

    /// Where to connect with TLS, by this name of this machine. `None`: it offers none.
    #[must_use]
    pub fn tls_url(&self, host: &str) -> Option<String> {
        Some(format!("rediss://{host}:{}", self.running.tls_port?))
    }

    /// Its log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.running.folder.log
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.server().id()
    }

    /// Whether it runs (paused counts).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.server().is_running()
    }

    /// Stops it cleanly.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || running.server().stop(Signal::TERM)).await
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || running.server().kill()).await
    }

    /// Starts it again on the same port; stops it first if it runs. One from [`Redis::start_private`] is empty then.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&self) -> Result<(), Error> {
        let running = Arc::clone(&self.running);
        blocking(move || {
            running.server().stop(Signal::TERM)?;
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

    /// Goes on after [`Redis::pause`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), Error> {
        self.running.server().signal_all(Signal::CONT)
    }

    fn start(folder: RedisFolder, environment: Vec<(String, String)>) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let (signal, remove) =
                if folder.is_temporary { ("KILL", Some(&*folder.path)) } else { ("TERM", None) };
            let guardian = Guardian::start(signal, remove)?;
            let server = Mutex::new(Server::new("Redis", folder.log.clone(), guardian));
            let tls_port = if folder.has_tls { Some(port::free_port()?) } else { None };
            let (folder, environment) = (folder.clone(), environment.clone());
            let running =
                Running { folder, port: port::free_port()?, tls_port, environment, server };
            match running.start() {
                Err(Error::NotStarted { tail, .. })
                    if tail.contains("Address already in use") && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    return Ok(Self { running: Arc::new(running) });
                }
            }
        }
    }
}

impl Running {
    fn start(&self) -> Result<(), Error> {
        let settings = self.folder.path.join("redis.conf");
        self.write_settings(&settings)?;
        let mut command = Command::new(binary::redis()?);
        command.arg(settings).current_dir("/").env("LC_ALL", "C");
        command.envs(self.environment.iter().cloned());
        let password = self.folder.password.as_deref();
        self.server().start(command, |pid| server_pid(self.port, password) == Some(pid))
    }

    /// In a file, because everybody on this machine can read the command line.
    fn write_settings(&self, file: &Path) -> Result<(), Error> {
        let RedisFolder { path, password, is_temporary, .. } = &self.folder;
        let quoted = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        let kept = if *is_temporary { "no" } else { "yes" };
        let mut text = format!(
            "bind 127.0.0.1\nport {}\ndir \"{quoted}\"\npidfile \"{quoted}/redis.pid\"\n\
             maxmemory-policy noeviction\nappendonly {kept}\nsave \"\"\n",
            self.port
        );
        if let Some(password) = password {
            text.push_str(&format!("requirepass {password}\n"));
        }
        if let Some(port) = self.tls_port {
            text.push_str(&format!(
                "tls-port {port}\ntls-cert-file \"{quoted}/{CERTIFICATE}\"\ntls-key-file \"{quoted}/{KEY}\"\n\
                 tls-auth-clients no\n"
            ));
        }
        let write = || {
            fs::write(file, "")?;
            fs::set_permissions(file, Permissions::from_mode(0o600))?;
            fs::write(file, text)
        };
        write().map_err(io_error(format!("write {}", file.display())))
    }

    /// A test that panicked with the lock held has left a server that can still be stopped.
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two servers on one append-only file would destroy it, and Redis has no lock against that.
fn stop_leftover(folder: &Path, log: &Path) -> Result<(), Error> {
    let settings = fs::read_to_string(folder.join("redis.conf")).unwrap_or_default();
    let port = settings.lines().find_map(|line| line.strip_prefix("port "));
    // The server rewrites its command line to this, whatever it was started with.
    let mark = format!("-server 127.0.0.1:{}", port.unwrap_or_default());
    let is_ours = |line: &str| line.contains(&mark) || line.contains(&*folder.to_string_lossy());
    match leftover::find(&folder.join("redis.pid"), is_ours) {
        Leftover::Server(pid) => leftover::stop("Redis", pid, Signal::TERM, log),
        Leftover::Nothing | Leftover::Stranger => Ok(()),
    }
}

/// The pid of the server that answers on this port and is done with loading.
fn server_pid(port: u16, password: Option<&str>) -> Option<Pid> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    if let Some(password) = password {
        write!(stream, "AUTH {password}\r\n").ok()?;
    }
    // INFO is answered while the data is loaded; PING is not.
    stream.write_all(b"INFO server\r\nPING\r\nQUIT\r\n").ok()?;
    let mut pid = None;
    let mut is_loaded = false;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if let Some(text) = line.strip_prefix("process_id:") {
            pid = Pid::from_raw(text.trim().parse().ok()?);
        }
        is_loaded |= line == "+PONG";
    }
    pid.filter(|_| is_loaded)
}

//! A whole stack of its own for a test: `counterfoil up` with real services on a fresh database.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Once},
    thread,
    time::{Duration, Instant},
};

use dev_servers::{Guardian, TestServers};
use event_store::LogReader;
use ledger::Shard;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

/// A test that waits longer for something has found that it does not happen.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the services and `up` itself said.
const LOG: &str = "up.log";

/// `counterfoil`, as the tests built it.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_counterfoil");

/// The statements of a real bank.
pub(crate) fn statements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bank-statements.csv")
}

/// Cargo builds the tests of one package with its own programs only.
fn build_services() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "-p",
            "write-service",
            "-p",
            "projector",
            "-p",
            "read-service",
        ]);
        if Path::new(PROGRAM).parent().unwrap().ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the services do not build");
    });
}

/// Where a stack's stores are.
pub(crate) struct Stores {
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) redis_prefix: String,
}

impl Stores {
    /// A database and a key prefix that no other test has.
    pub(crate) async fn fresh() -> Self {
        let servers = TestServers::get();
        Self {
            database_url: servers.database().await,
            redis_url: servers.redis(),
            redis_prefix: servers.redis_prefix(),
        }
    }
}

/// A running `counterfoil up`. Dropping it stops it.
pub(crate) struct Stack {
    process: Child,
    folder: Option<TempDir>,
    /// Stops it when the tests are killed.
    guardian: Guardian,
}

impl Stack {
    /// Starts everything on the given stores.
    pub(crate) fn start(stores: &Stores) -> Self {
        Self::start_with(|command| {
            command
                .env("DATABASE_URL", &stores.database_url)
                .env("REDIS_URL", &stores.redis_url)
                .env("REDIS_KEY_PREFIX", &stores.redis_prefix);
        })
    }

    pub(crate) fn start_with(configure: impl FnOnce(&mut Command)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), configure)
    }

    /// Starts everything in a folder that may have data of an earlier run.
    pub(crate) fn start_in(folder: TempDir, configure: impl FnOnce(&mut Command)) -> Self {
        build_services();
        let mut command = Command::new(PROGRAM);
        command.args(["up", "--write-addr", "127.0.0.1:0", "--read-addr", "127.0.0.1:0"]);
        let log = fs::File::create(folder.path().join(LOG)).unwrap();
        command.current_dir(&folder).env("LOG_FILTER", "warn").stdout(Stdio::piped()).stderr(log);
        configure(&mut command);
        let process = command.spawn().unwrap();
        let mut guardian = Guardian::start("TERM", None).unwrap();
        guardian.watch(Some(process.id())).unwrap();
        let mut stack = Self { process, folder: Some(folder), guardian };
        let mut lines = BufReader::new(stack.process.stdout.take().unwrap()).lines();
        let is_up = lines.any(|line| line.unwrap().contains("Counterfoil is running"));
        assert!(is_up, "counterfoil up ended: {}", stack.process.wait().unwrap());
        stack
    }

    fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Runs a sub-command, which finds the stack by the file `env`.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        Answer(self.command(args).output().unwrap())
    }

    /// A sub-command that must go well.
    pub(crate) fn must(&self, args: &[&str]) -> Answer {
        let answer = self.run(args);
        assert_eq!(answer.code(), 0, "{args:?}\n{}{}", answer.out(), answer.err());
        answer
    }

    /// What a sub-command that must go well prints as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.must(&args).out()).unwrap()
    }

    /// A sub-command in the stack's folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.folder());
        for (name, value) in self.env() {
            command.env(name, value);
        }
        command
    }

    /// The file that `up` leaves for shells and other commands.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.folder().join(".counterfoil/env")).unwrap();
        let lines = text.lines().map(|line| line.strip_prefix("export ").unwrap());
        let pairs = lines.map(|line| line.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
    }

    /// Events in the log, as the read side has seen it.
    pub(crate) fn head(&self) -> i64 {
        let status = self.json(&["status"]);
        let heads =
            status["views"].as_array().unwrap().iter().map(|view| number(&view["headPosition"]));
        heads.max().unwrap()
    }

    /// The pid of a service that it started.
    pub(crate) fn service(&self, name: &str) -> u32 {
        let own = self.process.id().to_string();
        let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,args="]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut pids = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (pid, parent, program) = (words.next()?, words.next()?, words.next()?);
            (parent == own && program.ends_with(name)).then(|| pid.parse().unwrap())
        });
        pids.next().unwrap()
    }

    /// Ends it by a signal, such as `TERM`; its folder, and how it ended.
    pub(crate) fn end(self, signal: &str) -> (TempDir, ExitStatus) {
        send_signal(signal, self.process.id());
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(mut self) -> (TempDir, ExitStatus) {
        let ended = self.process.wait().unwrap();
        self.guardian.watch(None).unwrap();
        (self.folder.take().unwrap(), ended)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(folder) = &self.folder else { return }; // it was waited for
        if self.process.try_wait().unwrap().is_none() {
            send_signal("TERM", self.process.id());
            self.process.wait().unwrap();
        }
        self.guardian.watch(None).unwrap();
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(folder.path().join(LOG)).unwrap_or_default());
        }
    }
}

/// What a sub-command said, and how it ended.
pub(crate) struct Answer(pub(crate) Output);

impl Answer {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out()).unwrap()
    }
}

/// A 64-bit number, which protobuf writes as text.
pub(crate) fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn send_signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT_MAX, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The position that the log ends at. Asks the log itself: what Redis has of it is as old as the last look, and Redis may be away.
pub(crate) async fn end_of_log(database_url: &str) -> Result<i64, event_store::Error> {
    let log = LogReader::connect(database_url, "import-test").await?;
    let head = log.head(Shard::ZERO).await?;
    Ok(head.map_or(0, |head| head.link.position.get()))
}

/// Waits until the log has come to a position.
pub(crate) async fn until_the_log_has(database_url: &str, position: i64) {
    let wait = async {
        while end_of_log(database_url).await.unwrap_or_default() < position {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(WAIT_MAX, wait).await.unwrap_or_else(|_| panic!("the log does not come to {position}"));
}

/// Carries connections on to a service until they are cut.
pub(crate) struct Proxy {
    pub(crate) addr: String,
    cut: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before_the_write_service(stack: &Stack) -> Self {
        let addr = stack.env().into_iter().find(|(name, _)| name == "COUNTERFOIL_WRITE_ADDR");
        let (_, target) = addr.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let cuts = cut.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    () = cuts.notified() => open.abort_all(),
                    Ok((mut client, _)) = listener.accept() => {
                        let target = target.clone();
                        open.spawn(async move {
                            let mut service = TcpStream::connect(target).await.unwrap();
                            let _ = copy_bidirectional(&mut client, &mut service).await;
                        });
                    }
                }
            }
        });
        Self { addr, cut, _tasks: tasks }
    }

    /// Cuts all connections that are open.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

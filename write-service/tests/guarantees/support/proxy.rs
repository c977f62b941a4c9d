//! A proxy in front of Postgres that knows an append when it sees one, and can lose its answer. It also knows what a service
//! reads on the side, and can keep the answers to that for a while.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::JoinSet,
};

use super::until;

/// What happens to an append on its way. All but the last two cut its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not reach the server.
    NeverSent,
    /// It reaches the server, which then finds the caller gone.
    CutBehind,
    /// The server has answered it, and the answer is lost.
    ReplyLost,
    /// All of it but the end reaches the server, which waits for the rest with the head of the log in its hand.
    HalfSent,
    /// It does not reach the server, and is answered with what the server said to the one before.
    AnsweredAsTheLast,
}

/// The proxy. Its connections end with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    fault: Mutex<Option<Fault>>,
    reached: AtomicUsize,
    closed: AtomicBool,
    /// Whether appending sessions are told not to wait for the disk.
    weakening: AtomicBool,
    /// Whether what is read on the side is kept back.
    keeping: watch::Sender<bool>,
    kept: AtomicUsize,
}

impl Proxy {
    /// In front of the server of `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let (login, rest) = url.split_once('@').unwrap();
        let (target, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: target.parse().unwrap(),
            fault: Mutex::default(),
            reached: AtomicUsize::default(),
            closed: AtomicBool::default(),
            weakening: AtomicBool::default(),
            keeping: watch::Sender::default(),
            kept: AtomicUsize::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, shared.clone()));
        Self { url: format!("{login}@{addr}/{database}"), shared, _accepting: accepting }
    }

    /// The next append meets this.
    pub(crate) fn lose_next(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }

    /// How many appends met a fault.
    pub(crate) fn faults_reached(&self) -> usize {
        self.shared.reached.load(Ordering::Acquire)
    }

    /// Keeps back what the service reads on the side, until it is given.
    pub(crate) fn keep_reads(&self) {
        self.shared.kept.store(0, Ordering::Release);
        self.shared.keeping.send_replace(true);
    }

    /// Waits until the server has answered so many statements in full, and the service has heard nothing of it.
    pub(crate) async fn until_kept(&self, answers: usize) {
        let kept = async || self.shared.kept.load(Ordering::Acquire) >= answers;
        until("answers are kept back", kept).await;
    }

    /// Gives what was kept.
    pub(crate) fn give_reads(&self) {
        self.shared.keeping.send_replace(false);
    }

    /// Whether what new connections ask of commits is changed on the way, as by a pooler with settings of its own.
    pub(crate) fn weaken_commits(&self, weaken: bool) {
        self.shared.weakening.store(weaken, Ordering::Release);
    }

    /// Whether new connections are refused. Those that are open stay.
    pub(crate) fn refuse_connections(&self, refuse: bool) {
        self.shared.closed.store(refuse, Ordering::Release);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if shared.closed.load(Ordering::Acquire) {
            continue;
        }
        let Ok(server) = TcpStream::connect(shared.target).await else { continue };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        connections.spawn(pass(client, server, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// What both directions of a connection know.
#[derive(Debug, Default)]
struct Lost {
    /// It is the one on which a service reads.
    reads: AtomicBool,
    /// Nothing reaches the client any more.
    lost: AtomicBool,
    /// The server has said something that did not reach the client.
    swallowed: Notify,
    /// The client is to be told once more what it was told last.
    again: Notify,
}

/// Passes everything on until one side ends, or a fault ends both.
async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = Lost::default();
    tokio::select! {
        _ = pass_requests(from_client, to_server, &shared, &lost) => {}
        _ = pass_answers(from_server, to_client, &shared, &lost) => {}
    }
}

async fn pass_requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    lost: &Lost,
) -> io::Result<()> {
    let mut startup = read_message(&mut client, 0).await?;
    if shared.weakening.load(Ordering::Acquire) {
        weaken(&mut startup);
    }
    let appends = contains(&startup, b"counterfoil-append/");
    lost.reads.store(contains(&startup, b"counterfoil-load/"), Ordering::Release);
    server.write_all(&startup).await?;
    loop {
        let message = read_message(&mut client, 1).await?;
        let is_append = appends && message[0] == b'B'; // Bind: preparing it has none
        let fault = if is_append { shared.fault.lock().unwrap().take() } else { None };
        let Some(fault) = fault else {
            server.write_all(&message).await?;
            continue;
        };
        if fault == Fault::AnsweredAsTheLast {
            for _execute_and_sync in 0..2 {
                read_message(&mut client, 1).await?;
            }
            lost.again.notify_one();
            shared.reached.fetch_add(1, Ordering::AcqRel);
            continue;
        }
        lost.lost.store(true, Ordering::Release);
        if fault != Fault::NeverSent {
            let execute = read_message(&mut client, 1).await?;
            // Without the end of it, the server does not send what it has to say: Flush asks it to begin.
            let end = match fault {
                Fault::HalfSent => b"H\0\0\0\x04".to_vec(),
                _ => read_message(&mut client, 1).await?,
            };
            server.write_all(&[message, execute, end].concat()).await?;
        }
        if matches!(fault, Fault::ReplyLost | Fault::HalfSent) {
            lost.swallowed.notified().await;
        }
        shared.reached.fetch_add(1, Ordering::AcqRel);
        if fault == Fault::HalfSent {
            std::future::pending::<()>().await;
        }
        return Ok(());
    }
}

async fn pass_answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    lost: &Lost,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let mut kept = Vec::new();
    let mut last = Vec::new();
    let mut keeping = shared.keeping.subscribe();
    loop {
        let length = tokio::select! {
            length = server.read(&mut bytes) => length?,
            _ = async { keeping.wait_for(|keeping| !keeping).await.is_ok() }, if !kept.is_empty() => {
                client.write_all(&std::mem::take(&mut kept)).await?;
                continue;
            }
            () = lost.again.notified() => {
                client.write_all(&last).await?;
                continue;
            }
        };
        if length == 0 {
            return Ok(());
        }
        if lost.lost.load(Ordering::Acquire) {
            lost.swallowed.notify_one();
        } else if *shared.keeping.borrow() && lost.reads.load(Ordering::Acquire) {
            let before = whole_answers(&kept);
            kept.extend_from_slice(&bytes[..length]);
            shared.kept.fetch_add(whole_answers(&kept) - before, Ordering::AcqRel);
        } else {
            last = bytes[..length].to_vec();
            client.write_all(&last).await?;
        }
    }
}

/// One message of the frontend protocol: its type, unless it is the first, its length, and the rest.
async fn read_message(client: &mut OwnedReadHalf, type_bytes: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; type_bytes + 4];
    client.read_exact(&mut message).await?;
    let length: [u8; 4] = message[type_bytes..].try_into().unwrap();
    let whole = type_bytes + usize::try_from(u32::from_be_bytes(length)).unwrap();
    message.resize(whole, 0);
    client.read_exact(&mut message[type_bytes + 4..]).await?;
    Ok(message)
}

/// How many statements the server has answered in full: each answer ends with `ReadyForQuery`.
fn whole_answers(mut bytes: &[u8]) -> usize {
    let mut answers = 0;
    while let [kind, a, b, c, d, ..] = *bytes {
        let whole = 1 + usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap();
        let Some(rest) = bytes.get(whole..) else { break };
        answers += usize::from(kind == b'Z');
        bytes = rest;
    }
    answers
}

/// Turns `synchronous_commit` off, in a word that is as long as `on`, so that the message stays whole.
fn weaken(startup: &mut [u8]) {
    let asked = b"synchronous_commit=on";
    if let Some(place) = startup.windows(asked.len()).position(|bytes| bytes == asked) {
        startup[place..place + asked.len()].copy_from_slice(b"synchronous_commit=no");
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

//! A TCP proxy that stands on one link and can be told what to do to it while it runs.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Bytes forwarded at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A connection that has had so few answers is still saying who it is: cutting it would lose no reply to a command.
const GREETING_CHUNKS: usize = 8;

/// What the proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards it.
    Pass,
    /// Takes it and forwards nothing. A connection that has lost something that way never carries anything again.
    BlackHole(Ways),
    /// Forwards it so much later.
    Delay(Duration),
    /// Forwards it byte by byte.
    Trickle,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ways {
    Both,
    ToServer,
    ToClient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What really happened on the link: a fault that touched nothing was not there.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections reset that had carried something.
    pub(crate) reset: AtomicU64,
    /// Bytes that went nowhere.
    pub(crate) swallowed: AtomicU64,
    /// Chunks that were held up.
    pub(crate) delayed: AtomicU64,
    /// Bytes that came one by one.
    pub(crate) trickled: AtomicU64,
    /// Replies that were thrown away behind a request that had been forwarded.
    pub(crate) replies_cut: AtomicU64,
    /// Bytes forwarded, either way.
    pub(crate) forwarded: AtomicU64,
}

impl Counts {
    /// Everything that was done to the link, as one number that grows.
    pub(crate) fn harm(&self) -> u64 {
        [&self.reset, &self.swallowed, &self.delayed, &self.trickled, &self.replies_cut]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// A link with the proxy on it. Dropping it ends all its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    link: Arc<Link>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Counted up to reset what is open.
    resets: watch::Sender<u64>,
    reply_cuts: Mutex<ReplyCuts>,
    counts: Counts,
}

/// Replies that are to be cut on connections whose first bytes contain `mark`.
#[derive(Debug, Default)]
struct ReplyCuts {
    left: u32,
    mark: &'static str,
}

impl Proxy {
    /// Listens on a free port for connections to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let link = Arc::new(Link {
            upstream,
            mode: watch::Sender::new(Mode::Pass),
            resets: watch::Sender::new(0),
            reply_cuts: Mutex::default(),
            counts: Counts::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, link.clone()));
        Self { addr, link, _accepting: accepting }
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.link.mode.send_replace(mode);
    }

    /// Resets every connection that is open.
    pub(crate) fn reset(&self) {
        self.link.resets.send_modify(|resets| *resets += 1);
    }

    /// Lets the next requests through, throws away what comes back, and closes; on connections that began with `mark`.
    pub(crate) fn cut_replies(&self, replies: u32, mark: &'static str) {
        *self.link.reply_cuts() = ReplyCuts { left: replies, mark };
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.link.counts
    }
}

impl Link {
    fn reply_cuts(&self) -> std::sync::MutexGuard<'_, ReplyCuts> {
        self.reply_cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, link: Arc<Link>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connect(client, link.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, link: Arc<Link>) {
    // Refused: the client's connection ends as well.
    let Ok(server) = TcpStream::connect(link.upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let connection = Connection {
        link,
        lost_up: AtomicBool::new(false),
        lost_down: AtomicBool::new(false),
        greeting: Mutex::default(),
        answers: AtomicUsize::new(0),
    };
    connection.run(client, server).await;
}

/// One connection through the proxy.
struct Connection {
    link: Arc<Link>,
    lost_up: AtomicBool,
    lost_down: AtomicBool,
    /// The first bytes that the client sent.
    greeting: Mutex<Vec<u8>>,
    answers: AtomicUsize,
}

/// Why a direction ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// One side has closed.
    Closed,
    /// A reply is to be lost.
    Cut,
    /// It is to be reset.
    Reset,
}

impl Connection {
    async fn run(self, mut client: TcpStream, mut server: TcpStream) {
        let mut resets = self.link.resets.subscribe();
        let end = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            tokio::select! {
                _ = resets.changed() => End::Reset,
                end = self.pump(Way::Up, from_client, to_server) => end,
                end = self.pump(Way::Down, from_server, to_client) => end,
            }
        };
        if end == End::Closed && self.is_lost() {
            // The side that is left does not hear that the other one has gone while the hole is there.
            let mut mode = self.link.mode.subscribe();
            let _ = mode.wait_for(|mode| !matches!(mode, Mode::BlackHole(_))).await;
        }
        if end == End::Reset && self.answers.load(Ordering::Relaxed) > 0 {
            self.link.counts.reset.fetch_add(1, Ordering::Relaxed);
        }
        if end != End::Closed || self.is_lost() {
            for socket in [&client, &server] {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
    }

    async fn pump(&self, way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(count @ 1..) => count,
                Ok(0) | Err(_) => return End::Closed,
            };
            let bytes = &buffer[..count];
            let mode = *self.link.mode.borrow();
            if self.swallows(mode, way) {
                self.link.counts.swallowed.fetch_add(count as u64, Ordering::Relaxed);
                continue;
            }
            match way {
                Way::Up => self.listen(bytes),
                Way::Down if self.is_to_be_cut() => return End::Cut,
                Way::Down => _ = self.answers.fetch_add(1, Ordering::Relaxed),
            }
            if self.forward(mode, &mut to, bytes).await.is_err() {
                return End::Closed;
            }
            self.link.counts.forwarded.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    async fn forward(
        &self,
        mode: Mode,
        to: &mut WriteHalf<'_>,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let counts = &self.link.counts;
        match mode {
            Mode::Pass | Mode::BlackHole(_) => to.write_all(bytes).await,
            Mode::Delay(time) => {
                counts.delayed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(time).await;
                to.write_all(bytes).await
            }
            Mode::Trickle => {
                for (at, byte) in bytes.iter().enumerate() {
                    if *self.link.mode.borrow() != Mode::Trickle {
                        return to.write_all(&bytes[at..]).await;
                    }
                    to.write_all(std::slice::from_ref(byte)).await?;
                    counts.trickled.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
        }
    }

    /// Whether what goes this way is lost; once something was, everything is.
    fn swallows(&self, mode: Mode, way: Way) -> bool {
        let (lost, this_way) = match way {
            Way::Up => (&self.lost_up, Ways::ToServer),
            Way::Down => (&self.lost_down, Ways::ToClient),
        };
        if let Mode::BlackHole(ways) = mode
            && (ways == Ways::Both || ways == this_way)
        {
            lost.store(true, Ordering::Relaxed);
        }
        lost.load(Ordering::Relaxed)
    }

    fn is_lost(&self) -> bool {
        self.lost_up.load(Ordering::Relaxed) || self.lost_down.load(Ordering::Relaxed)
    }

    /// Remembers how the client introduces itself.
    fn listen(&self, bytes: &[u8]) {
        let mut greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        if greeting.len() < 1024 {
            greeting.extend_from_slice(&bytes[..bytes.len().min(1024)]);
        }
    }

    fn is_to_be_cut(&self) -> bool {
        let mut cuts = self.link.reply_cuts();
        if cuts.left == 0 || self.answers.load(Ordering::Relaxed) < GREETING_CHUNKS {
            return false;
        }
        let greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let marked = cuts.mark.is_empty()
            || greeting.windows(cuts.mark.len()).any(|window| window == cuts.mark.as_bytes());
        if marked {
            cuts.left -= 1;
            self.link.counts.replies_cut.fetch_add(1, Ordering::Relaxed);
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// A server that gives every byte back, and a client that is connected to it through a proxy.
    async fn echo() -> (Proxy, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let client = TcpStream::connect(proxy.addr).await.unwrap();
        (proxy, client, server)
    }

    async fn exchange(client: &mut TcpStream, text: &str) -> std::io::Result<String> {
        client.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        match timeout(SHORT, client.read_exact(&mut answer)).await {
            Ok(read) => read.map(|_| String::from_utf8(answer).unwrap()),
            Err(_) => Ok("nothing".into()),
        }
    }

    #[tokio::test]
    async fn it_passes_delays_and_trickles_everything_in_order() {
        let (proxy, mut client, _server) = echo().await;
        for mode in [Mode::Pass, Mode::Delay(Duration::from_millis(20)), Mode::Trickle] {
            proxy.set(mode);
            assert_eq!(exchange(&mut client, "one two three").await.unwrap(), "one two three");
        }
        assert_eq!(proxy.counts().delayed.load(Ordering::Relaxed), 2);
        assert_eq!(proxy.counts().trickled.load(Ordering::Relaxed), 26);
    }

    #[tokio::test]
    async fn a_black_hole_takes_everything_and_a_connection_that_fell_in_stays_there() {
        let (proxy, mut client, _server) = echo().await;
        exchange(&mut client, "hello").await.unwrap();
        for ways in [Ways::ToServer, Ways::ToClient, Ways::Both] {
            let mut client = TcpStream::connect(proxy.addr).await.unwrap();
            proxy.set(Mode::BlackHole(ways));
            assert_eq!(exchange(&mut client, "lost").await.unwrap(), "nothing", "{ways:?}");
            proxy.set(Mode::Pass);
            assert_eq!(exchange(&mut client, "late").await.unwrap(), "nothing", "{ways:?}");
        }
        assert!(proxy.counts().swallowed.load(Ordering::Relaxed) >= 24);
        assert_eq!(exchange(&mut client, "still here").await.unwrap(), "still here");
    }

    #[tokio::test]
    async fn a_reset_ends_what_is_open_and_nothing_else() {
        let (proxy, mut client, _server) = echo().await;
        exchange(&mut client, "hello").await.unwrap();
        proxy.reset();
        assert!(client.read(&mut [0]).await.is_err(), "reset, not closed");
        assert_eq!(proxy.counts().reset.load(Ordering::Relaxed), 1);
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        assert_eq!(exchange(&mut client, "again").await.unwrap(), "again");
    }

    #[tokio::test]
    async fn a_reply_is_cut_behind_a_request_that_was_forwarded_on_marked_connections_only() {
        let (proxy, mut other, _server) = echo().await;
        let mut marked = TcpStream::connect(proxy.addr).await.unwrap();
        for _ in 0..GREETING_CHUNKS {
            exchange(&mut marked, "i am an appender").await.unwrap();
            exchange(&mut other, "i am another").await.unwrap();
        }
        proxy.cut_replies(1, "appender");
        assert_eq!(exchange(&mut other, "more").await.unwrap(), "more");
        let before = proxy.counts().forwarded.load(Ordering::Relaxed);
        assert!(exchange(&mut marked, "commit").await.is_err());
        assert_eq!(proxy.counts().forwarded.load(Ordering::Relaxed), before + 6);
        assert_eq!(proxy.counts().replies_cut.load(Ordering::Relaxed), 1);
    }
}

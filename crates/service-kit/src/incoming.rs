//! Accepted connections, each counted, watched until it speaks, and cut when time is up. With TLS, those that have shaken
//! hands; each does so by itself, so that a slow one holds up nobody.
//!
//! tonic's own stream tries again at once when accepting fails, which spins while descriptors are
//! short; and a client that connects and says nothing is neither timed out by HTTP/2 keepalive nor
//! ended by a graceful shutdown, because both begin with the client's first bytes.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::tls::{PeerCertificate, Tls};
use crate::unfinished::Held;

/// Length of "PRI * HTTP/2.0 ...", with which every HTTP/2 client begins.
const PREFACE_BYTES: usize = 24;

/// Time for those bytes.
const PREFACE_DEADLINE: Duration = Duration::from_secs(10);

/// Time for a TLS handshake: two round trips and a signature.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Pause after a failed accept: out of descriptors stays so for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Silent connections that have been closed and are still there for a moment, at most: beyond the limit of connections.
const LEAVING_MAX: usize = 64;

/// The connections that are open now.
#[derive(Clone, Default)]
pub(crate) struct OpenConnections(Arc<Open>);

#[derive(Default)]
struct Open {
    count: AtomicUsize,
    /// Those over which no call was let in yet, the oldest first, each with what closes it.
    silent: Mutex<BTreeMap<u64, CancellationToken>>,
}

impl OpenConnections {
    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, cut: &CancellationToken) -> Entered {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let (number, close) = (NUMBERS.fetch_add(1, Ordering::Relaxed), cut.child_token());
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.silent().insert(number, close.clone());
        Entered { open: self.clone(), number, close }
    }

    /// Closes the silent one that has been there longest, if there is any.
    fn close_a_silent_one(&self) -> bool {
        let oldest = self.silent().pop_first();
        oldest.map(|(_, close)| close.cancel()).is_some()
    }
}

/// Counts a connection for as long as it lives.
struct Entered {
    open: OpenConnections,
    number: u64,
    close: CancellationToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.silent().remove(&self.number);
        self.open.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every connection of a listener, without end. Beyond `connections_max` a silent one is closed for each that comes, so that
/// whoever only connects keeps nobody out who calls. If none is silent, the new one is closed at once: its client learns
/// it now and can go to another instance, instead of waiting in a queue. One that still shakes hands counts too, as
/// silent. Cancelling `cut` ends every connection that is still open.
pub(crate) fn incoming(
    listener: TcpListener,
    connections_max: usize,
    tls: Option<Tls>,
    open: OpenConnections,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let handshakes = JoinSet::new();
    let door = Door { listener, connections_max, tls, handshakes, open, cut, full: false };
    stream::unfold(door, async |mut door| {
        let connection = door.next().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    connections_max: usize,
    tls: Option<Tls>,
    /// Given up with the door.
    handshakes: JoinSet<Option<Connection>>,
    open: OpenConnections,
    cut: CancellationToken,
    /// Whether there was no room for the last one, so that a crowd makes one line of log.
    full: bool,
}

impl Door {
    async fn next(&mut self) -> Connection {
        loop {
            let stream = tokio::select! {
                stream = accept(&self.listener) => stream,
                Some(ended) = self.handshakes.join_next() => match ended {
                    Ok(Some(connection)) => return connection,
                    Ok(None) | Err(_) => continue,
                },
            };
            let beyond = (self.open.count() + 1).saturating_sub(self.connections_max);
            if beyond > 0 && !self.full {
                let connections = self.connections_max;
                warn!(connections, "full, closing silent connections or turning new ones away");
            }
            self.full = beyond > 0;
            if self.full && (beyond > LEAVING_MAX || !self.open.close_a_silent_one()) {
                continue;
            }
            if let Err(error) = stream.set_nodelay(true) {
                warn!(%error, "set TCP_NODELAY");
            }
            let entered = self.open.enter(&self.cut);
            match &self.tls {
                None => return Connection::new(Transport::Plain(stream), None, entered),
                Some(tls) => {
                    self.handshakes.spawn(shake_hands(tls.acceptor(), stream, entered));
                }
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(error) => {
                warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    entered: Entered,
) -> Option<Connection> {
    let shaking = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream));
    let stream = match entered.close.run_until_cancelled(shaking).await? {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%error, "a TLS handshake failed");
            return None;
        }
        Err(_elapsed) => {
            debug!("a TLS handshake took too long");
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = match shown.map(PeerCertificate::read) {
        None => None,
        Some(Some(certificate)) => Some(Arc::new(certificate)),
        Some(None) => {
            debug!("a client's certificate was verified, but cannot be read");
            return None;
        }
    };
    Some(Connection::new(Transport::Tls(Box::new(stream)), certificate, entered))
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same on whichever it is.
macro_rules! on_transport {
    ($transport:expr, $stream:ident => $body:expr) => {
        match $transport {
            Transport::Plain($stream) => {
                let $stream = Pin::new($stream);
                $body
            }
            Transport::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $body
            }
        }
    };
}

/// One accepted connection.
pub(crate) struct Connection {
    transport: Transport,
    certificate: Option<Arc<PeerCertificate>>,
    unfinished: Held,
    /// Until the preface has come.
    silence: Option<Pin<Box<Sleep>>>,
    heard_bytes: usize,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    entered: Entered,
    was_let_in: Arc<AtomicBool>,
}

impl Connection {
    fn new(
        transport: Transport,
        certificate: Option<Arc<PeerCertificate>>,
        entered: Entered,
    ) -> Self {
        Self {
            transport,
            certificate,
            unfinished: Held::default(),
            silence: Some(Box::pin(tokio::time::sleep(PREFACE_DEADLINE))),
            heard_bytes: 0,
            closed: Box::pin(entered.close.clone().cancelled_owned()),
            entered,
            was_let_in: Arc::default(),
        }
    }

    /// What came of reading or writing, unless it waits and the connection is to be closed. Only one that has nothing to do
    /// is looked at, so that a busy one pays nothing.
    fn unless_closed<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_pending() && self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed")));
        }
        done
    }
}

/// Who is at the other end of a call's connection.
#[derive(Clone)]
pub(crate) struct Peer {
    /// No other connection of this process has it.
    number: u64,
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    /// What its calls have sent of messages that did not come whole yet.
    pub(crate) unfinished: Held,
    open: OpenConnections,
    was_let_in: Arc<AtomicBool>,
}

impl Peer {
    /// A call has passed the gate: from now on the connection is not silent.
    pub(crate) fn is_let_in(&self) {
        // Mostly it was: reading alone is what leaves the flag with all threads.
        if !self.was_let_in.load(Ordering::Relaxed)
            && !self.was_let_in.swap(true, Ordering::Relaxed)
        {
            self.open.silent().remove(&self.number);
        }
    }
}

/// The number of the connection that a request came over: the same for all of its requests, and for no others.
#[must_use]
pub fn connection_number<T>(request: &tonic::Request<T>) -> Option<u64> {
    request.extensions().get::<Peer>().map(|peer| peer.number)
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer {
            number: self.entered.number,
            certificate: self.certificate.clone(),
            unfinished: self.unfinished.clone(),
            open: self.entered.open.clone(),
            was_let_in: self.was_let_in.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = on_transport!(&mut this.transport, stream => stream.poll_read(cx, buffer));
        if let Poll::Ready(outcome) = read {
            if this.silence.is_some() {
                this.heard_bytes += buffer.filled().len() - before;
                if this.heard_bytes >= PREFACE_BYTES {
                    this.silence = None;
                }
            }
            return Poll::Ready(outcome);
        }
        if let Poll::Ready(closed) = this.unless_closed(cx, Poll::Pending) {
            return Poll::Ready(closed);
        }
        match this.silence.as_mut().map(|silence| silence.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface")))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = on_transport!(&mut self.transport, stream => stream.poll_write(cx, bytes));
        self.unless_closed(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = on_transport!(&mut self.transport, stream => stream.poll_flush(cx));
        self.unless_closed(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(&mut self.transport, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done =
            on_transport!(&mut self.transport, stream => stream.poll_write_vectored(cx, slices));
        self.unless_closed(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

//! Accepted connections, each counted, watched until it speaks, and cut when time is up. With TLS, those that have shaken
//! hands; each does so by itself, so that a slow one holds up nobody.
//!
//! tonic's own stream tries again at once when accepting fails, which spins while descriptors are
//! short; and a client that connects and says nothing is neither timed out by HTTP/2 keepalive nor
//! ended by a graceful shutdown, because both begin with the client's first bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

/// How many connections are open now.
#[derive(Clone, Default)]
pub(crate) struct OpenConnections(Arc<AtomicUsize>);

impl OpenConnections {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// Counts a connection for as long as it lives.
struct Entered(OpenConnections);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every connection of a listener, without end. Beyond `connections_max` one is closed at once:
/// its client learns it now and can go to another instance, instead of waiting in a queue. One that
/// still shakes hands counts too. Cancelling `cut` ends every connection that is still open.
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
    /// Whether the last one was turned away, so that a crowd makes one line of log.
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
            let full = self.open.count() >= self.connections_max;
            if full && !self.full {
                warn!(connections = self.connections_max, "full, turning connections away");
            }
            self.full = full;
            if full {
                continue;
            }
            if let Err(error) = stream.set_nodelay(true) {
                warn!(%error, "set TCP_NODELAY");
            }
            let (entered, cut) = (self.open.enter(), self.cut.clone());
            match &self.tls {
                None => return Connection::new(Transport::Plain(stream), None, entered, cut),
                Some(tls) => {
                    self.handshakes.spawn(shake_hands(tls.acceptor(), stream, entered, cut));
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
    cut: CancellationToken,
) -> Option<Connection> {
    let stream = match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
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
    Some(Connection::new(Transport::Tls(Box::new(stream)), certificate, entered, cut))
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
    number: u64,
    transport: Transport,
    certificate: Option<Arc<PeerCertificate>>,
    unfinished: Held,
    /// Until the preface has come.
    silence: Option<Pin<Box<Sleep>>>,
    heard_bytes: usize,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _entered: Entered,
}

impl Connection {
    fn new(
        transport: Transport,
        certificate: Option<Arc<PeerCertificate>>,
        entered: Entered,
        cut: CancellationToken,
    ) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            transport,
            certificate,
            unfinished: Held::default(),
            silence: Some(Box::pin(tokio::time::sleep(PREFACE_DEADLINE))),
            heard_bytes: 0,
            cut: Box::pin(cut.cancelled_owned()),
            _entered: entered,
        }
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
            number: self.number,
            certificate: self.certificate.clone(),
            unfinished: self.unfinished.clone(),
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
        // Only a connection that has nothing to say is looked at, so that a busy one pays nothing.
        if this.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "shut down")));
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
        on_transport!(&mut self.transport, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(&mut self.transport, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(&mut self.transport, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_transport!(&mut self.transport, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

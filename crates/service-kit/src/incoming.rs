//! Accepted connections, each counted, watched until it speaks, and cut when time is up.
//!
//! tonic's own stream tries again at once when accepting fails, which spins while descriptors are
//! short; and a client that connects and says nothing is neither timed out by HTTP/2 keepalive nor
//! ended by a graceful shutdown, because both begin with the client's first bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

/// Length of "PRI * HTTP/2.0 ...", with which every HTTP/2 client begins.
const PREFACE_BYTES: usize = 24;

/// Time for those bytes.
const PREFACE_DEADLINE: Duration = Duration::from_secs(10);

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
/// its client learns it now and can go to another instance, instead of waiting in a queue.
/// Cancelling `cut` ends every connection that is still open.
pub(crate) fn incoming(
    listener: TcpListener,
    connections_max: usize,
    open: OpenConnections,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let door = Door { listener, connections_max, open, cut, full: false };
    stream::unfold(door, async |mut door| {
        let connection = door.accept().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    connections_max: usize,
    open: OpenConnections,
    cut: CancellationToken,
    /// Whether the last one was turned away, so that a crowd makes one line of log.
    full: bool,
}

impl Door {
    async fn accept(&mut self) -> Connection {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let full = self.open.count() >= self.connections_max;
            if full && !self.full {
                warn!(connections = self.connections_max, "full, turning connections away");
            }
            self.full = full;
            if !full {
                return self.admit(stream);
            }
        }
    }

    fn admit(&self, stream: TcpStream) -> Connection {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "set TCP_NODELAY");
        }
        Connection {
            stream,
            silence: Some(Box::pin(tokio::time::sleep(PREFACE_DEADLINE))),
            heard_bytes: 0,
            cut: Box::pin(self.cut.clone().cancelled_owned()),
            _entered: self.open.enter(),
        }
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Until the preface has come.
    silence: Option<Pin<Box<Sleep>>>,
    heard_bytes: usize,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _entered: Entered,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
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
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

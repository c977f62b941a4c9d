//! Where everything will listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::Failure;

/// Where commands go unless told otherwise.
const WRITE_PORT: u16 = 50051;
/// Metrics of the three services are looked for here first.
const METRICS_PORTS: [u16; 3] = [9101, 9102, 9103];

/// One free address for everything that listens.
pub(super) struct Addresses {
    pub(super) write: SocketAddr,
    pub(super) read: SocketAddr,
    pub(super) write_metrics: SocketAddr,
    pub(super) projector_metrics: SocketAddr,
    pub(super) read_metrics: SocketAddr,
}

impl Addresses {
    /// The addresses asked for, looked at before anything is started: a service that finds its port taken would only end.
    pub(super) fn free(write: SocketAddr, read: SocketAddr) -> Result<Self, Failure> {
        // All are held until all are found, so that no two are the same. The usual ports of metrics belong to whoever has the
        // usual port for commands; others take any, and so do not meet when several start at once.
        let is_usual = write.port() == WRITE_PORT;
        let write = taken(write, "--write-addr")?;
        let read = taken(read, "--read-addr")?;
        let metrics = METRICS_PORTS.map(|port| {
            let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, if is_usual { port } else { 0 }));
            usual.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        });
        let mut metrics = metrics.into_iter();
        let mut next = || {
            let listener = metrics.next().and_then(Result::ok);
            let addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
            addr.map(|addr| (listener, addr))
                .ok_or_else(|| Failure::other(anyhow::anyhow!("no port is free")))
        };
        let [write_metrics, projector_metrics, read_metrics] = [next()?, next()?, next()?];
        Ok(Self {
            write: write.1,
            read: read.1,
            write_metrics: write_metrics.1,
            projector_metrics: projector_metrics.1,
            read_metrics: read_metrics.1,
        })
    }
}

fn taken(addr: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(addr).and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    });
    listener.map_err(|error| {
        Failure::usage(format!(
            "{addr} cannot be used ({error}): stop what listens there, or give another with {flag}, such as \
             {flag} 127.0.0.1:0 for any free port"
        ))
    })
}

//! Free ports.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::error::{Error, io_error};

/// Below those that systems give to outgoing connections (from 32768 on, or higher): of these somebody would take one by chance
/// between our look and the server's.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port of 127.0.0.1 that is free, and that this process has not been given lately. Another process may be faster all the
/// same, so starting a server is tried again.
///
/// # Errors
/// None of many is free.
pub fn free_port() -> Result<u16, Error> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Processes begin at different places.
        let next =
            process::id().wrapping_mul(97).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(next % u32::from(COUNT)).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let none: io::Result<u16> = Err(io::ErrorKind::AddrInUse.into());
    none.map_err(io_error("find a free port on 127.0.0.1"))
}

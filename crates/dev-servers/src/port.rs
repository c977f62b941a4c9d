//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, io_error};

/// A port of 127.0.0.1 that was free a moment ago. Somebody else may be faster, so starting a server is tried again.
pub(crate) fn free() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(io_error("find a free port on 127.0.0.1"))?.port())
}

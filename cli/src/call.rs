//! Reaching the services.

mod read;
mod retry;
mod stream;
mod write;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;

pub(crate) use read::ReadArgs;
pub(crate) use retry::{Patience, Undelivered, deliver};
pub(crate) use stream::{CommandStream, answer_of};
pub(crate) use write::{WriteArgs, own_words, shown_command, sibling_command};

/// A service that is there accepts a connection at once; one that is not should be noticed soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is silently dead is noticed by then, even without a call's deadline.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A connection that is made with the first call, and again whenever it was lost.
pub(crate) fn channel(addr: &str) -> Result<Channel, Failure> {
    let url = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
    let endpoint = Endpoint::from_shared(url).map_err(|_| {
        Failure::usage(format!("{addr:?} is not an address such as 127.0.0.1:50051"))
    })?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE);
    Ok(endpoint.connect_lazy())
}

//! The gRPC server as a client meets it, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod raw;
mod refusals;
mod rubbish;
mod stopping;
mod tls;

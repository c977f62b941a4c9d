//! The service over real sockets and a real Redis, with a read model written as a projector writes it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod access;
mod answers;
mod contract;
mod errors;
mod floor;
mod kept;
mod lists;
mod logins;
mod rebuild;
mod rubbish;
mod support;
mod waiting;
mod weather;

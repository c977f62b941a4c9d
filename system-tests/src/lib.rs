//! The whole system as its users have it: the real binaries as processes, a real Postgres, a real Redis, real sockets.
//!
//! [`System`] starts it, with as many of each service as wanted, and kills and restarts its parts. [`load`] drives it with
//! clients that write down every call and how it ended. [`oracle`] judges what they wrote down against the log.
//! The promises themselves are in `tests/`, one test each.
//!
//! The binaries are those beside the test program; `cargo test --workspace` and `make test` build them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test says where it failed by failing there"
)]

pub mod load;
pub mod oracle;
mod process;
mod system;

pub use process::{Process, until};
pub use system::{Clients, Size, System};

//! The whole system as its users have it: the real binaries as processes, a real Postgres, a real Redis, real sockets.
//!
//! [`System`] starts it, with as many of each service as wanted, and kills and restarts its parts. [`Witnesses`] are clients
//! that drive it, write down every call and every answer, and have all of it judged. [`faults`] does every kind of fault to it.
//! The promises themselves are in `tests/`, one test each.
//!
//! Reading order: `history` (what clients write down), `model` (the rules once more), `oracles` (the judges), `traffic` (the
//! clients), `proxy` (what stands on the links), `preload` (what stands before processes), `faults`.
//!
//! The binaries are those beside the test program; `cargo test --workspace` and `make test` build them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test says where it failed by failing there"
)]

mod accounts;
mod callers;
mod dice;
pub mod faults;
mod history;
pub mod http2;
mod log;
mod model;
mod oracles;
mod preload;
mod process;
mod proxy;
mod redis_dump;
mod system;
mod traffic;
mod witness;

pub use accounts::{account, euros, open_accounts};
pub use callers::Credential;
pub use dice::Dice;
pub use process::{Process, descriptors_max, logs_folder, until};
pub use system::{Clients, Size, System, WriteClient};
pub use witness::{Witnesses, the_read_model_matches};

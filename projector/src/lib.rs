//! From event to read model: the projector reads the log, verifies it, folds it into views, and keeps Redis
//! equal to it.
//!
//! Deliberately absent: deciding anything, and remembering anything. Where a view stands is said by the
//! checkpoint beside its data in Redis; a projector that starts, or starts again, or is the second of two,
//! reads it there. Any number of projectors may run at once.
//!
//! Reading order: `projection` (what events mean, pure), `lifecycle` (what to do about generations, pure),
//! `shard` (the loop), `load`, `track`, `build`, `vet`; beside it `head`, `lag`, `bell`, `inspect`, `sweep`,
//! `janitor`.

mod bell;
mod build;
mod config;
mod contradiction;
mod error;
mod head;
mod inspect;
mod janitor;
mod lag;
mod lifecycle;
mod load;
mod log;
mod metrics;
mod problems;
mod projection;
mod run;
mod shard;
mod sweep;
mod track;
mod verify;
mod vet;

pub use config::Config;
pub use error::RunError;
pub use inspect::{Findings, Mismatch};
pub(crate) use run::Shared;
pub use run::run;
#[doc(hidden)]
pub use run::testing;
pub use verify::{Verified, VerifyError, verify};

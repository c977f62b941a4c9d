//! Answers queries from the read model in Redis, and says with every answer which prefix of the log it includes.
//!
//! Absent on purpose: Postgres. What is not in the read model is not known here, and a read model that is missing or behind
//! is said to be so, never filled in.
//!
//! Reading order: [`serve()`] puts everything together. A call comes in through `grpc` (checked in `request`, put back on the
//! wire in `response`, every error in the one table of `status`), is asked in `query`, whose `answer` says when an answer may
//! be given: what the caller wants is `consistency`, what was answered before is `horizon`, waiting is `wait`. `store` reads,
//! many calls in one round trip. `survey` looks at the whole every second.

mod config;
mod consistency;
mod error;
mod grpc;
mod horizon;
mod metrics;
mod page_token;
mod places;
mod query;
mod serve;
mod store;
mod survey;
mod wait;

pub use config::Config;
pub use serve::{ServeError, serve};

//! What the write-service promises, each promise a test named after it, through real calls and a real Postgres.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    clippy::result_large_err,
    reason = "a test says where it failed by failing there; and a handful of futures and errors may be large"
)]

mod access;
mod acknowledged;
mod batches;
mod errors;
mod idempotency;
mod instances;
mod leaving;
mod logins;
mod lost_answers;
mod races;
mod refusals;
mod rubbish;
mod standbys;
mod streams;
mod support;
mod weather;

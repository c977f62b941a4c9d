//! What the write-service promises, each promise a test named after it, through real calls and a real Postgres.
#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

mod acknowledged;
mod errors;
mod idempotency;
mod instances;
mod leaving;
mod lost_answers;
mod refusals;
mod support;
mod weather;

//! The rules, one sentence each: given what has happened, when a command comes, then this happens or that is said.
#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

mod audit;
mod harness;
mod lifecycle;
mod limits;
mod order;
mod transfers;
mod versions;

//! The read model against a real Redis: what a projector may rely on, and what a query may.
#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

mod claiming;
mod committing;
mod filling;
mod generations;
mod reading;
mod repairing;
mod statements;
mod support;
mod tls;
mod users;
mod weather;

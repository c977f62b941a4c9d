//! `counterfoil` with real services and stores.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod anchors;
mod batch;
mod calls;
mod credentials;
mod guards;
mod history;
mod import;
mod operate;
mod restore;
mod support;
mod tamper;
mod tls;
mod up;
mod verify;

//! What every service's main needs: settings, logs, signals, health, metrics, and a gRPC server
//! with TLS and limits whose every error carries a reason.
//!
//! Absent on purpose: anything about accounts, Postgres or Redis. A service hands in its own
//! socket, its own tonic services and a token that ends it.
//!
//! Reading order: [`config`], [`telemetry`], [`shutdown`], [`health`], [`metrics`], then [`server`]
//! with what it puts around every call: [`transport_errors`], [`deadline`] and [`gate`], which speak
//! [`error_details`]. [`tls`] is made of files that [`reload`] keeps up to date. [`clock`], [`descriptors`] and [`shares`] stand alone.

pub mod clock;
pub mod config;
pub mod deadline;
pub mod descriptors;
pub mod error_details;
pub mod gate;
pub mod health;
mod incoming;
pub mod log_limit;
pub mod metrics;
pub mod reload;
pub mod server;
pub mod shares;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod transport_errors;
mod unfinished;

//! Who calls, and what they may do: the same code in both services.
//!
//! Off unless settings name keys or certificates; then everything is denied that is not allowed. What a caller may do stands in
//! its token, or for a client certificate in a file of rights.
//!
//! Absent on purpose: accounts. Which account a call is about, and who owns it, only the services know; they ask the caller's
//! [`Reach`].
//!
//! Reading order: [`AccessArgs`], [`Access`] (at the gate of a server, and what handlers ask), `rules` (which method needs which
//! scope), `token` and `certificate` (from a credential to a [`Caller`]), `claims` (what both say), [`caller`].

pub mod caller;
mod certificate;
mod claims;
mod config;
mod guard;
mod rules;
mod signature;
mod token;

pub use caller::{Caller, Reach};
pub use config::AccessArgs;
pub use guard::{Access, BeginError, denied, expired};

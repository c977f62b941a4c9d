//! Certificates and tokens for tests, made anew each time, so that none is ever checked in.
//!
//! Absent on purpose: anything that a service uses. A test that verifies with the code that signs would prove nothing.
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a test that has no key cannot go on"
)]

mod certificates;
mod tokens;

pub use certificates::{Authority, Pair};
pub use tokens::{AUDIENCE, BadCredential, ISSUER, TokenIssuer, assert_untold, claims, now};

//! What the tests stand on.

pub(crate) mod access;
pub(crate) mod events;
pub(crate) mod model;
pub(crate) mod raw;
pub(crate) mod requests;
pub(crate) mod service;

pub(crate) use model::Model;
pub(crate) use raw::{call_raw, refused_in_time};
pub(crate) use requests::*;
pub(crate) use service::{Service, command, in_time, joined};

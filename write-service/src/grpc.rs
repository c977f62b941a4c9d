//! The border: requests in, answers out, errors as the catalogue has them.

mod any_command;
mod batch;
mod permission;
mod request;
mod response;
#[cfg(test)]
mod rubbish;
mod service;
mod status;
mod stream;

pub use service::Writer;

//! The border: requests in, answers out, errors as the catalogue has them.

mod request;
mod response;
mod service;
mod status;

pub use service::Writer;

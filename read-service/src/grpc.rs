//! The wire: requests in, domain questions on, answers and errors out.

mod failure_log;
mod request;
mod response;
#[cfg(test)]
mod rubbish;
mod service;
pub(crate) mod status;

pub(crate) use service::ReadGrpc;

//! Reaching the services.

mod connect;
mod read;
mod retry;
mod stream;
mod write;

pub(crate) use connect::{ConnectArgs, Connection, channel, connect_with};
pub(crate) use read::ReadArgs;
pub(crate) use retry::{Patience, Undelivered, deliver};
pub(crate) use stream::{CommandStream, answer_of};
pub(crate) use write::{WriteArgs, own_words, shown_command, sibling_command};

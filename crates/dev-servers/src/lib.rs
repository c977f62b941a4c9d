//! A private Postgres and a private Redis (or Valkey), for `counterfoil up` and for tests.
//!
//! Both listen on free ports of 127.0.0.1 only, write their logs to files, and run with the durable settings the
//! ledger insists on. They end when the process that started them ends, however it ends: see [`Guardian`].
//! Deliberately absent: anything a server in production needs.
//!
//! Tests begin at [`TestServers`]; a test that kills, pauses or flushes a server starts one of its own with
//! [`Postgres::start_private`] or [`Redis::start_private`]. `counterfoil up` keeps its data with
//! [`Postgres::open`] and [`Redis::open`].

mod account;
mod binary;
mod error;
mod guardian;
mod leftover;
mod port;
mod postgres;
mod postgres_folder;
mod redis;
mod server;
mod tamper;
mod test_servers;
mod tls;

pub use error::Error;
pub use guardian::Guardian;
pub use port::free_port;
pub use postgres::Postgres;
pub use redis::Redis;
pub use tamper::tamper;
pub use test_servers::TestServers;
pub use tls::ServerTls;

//! The projector between a real Postgres and a real Redis: whatever happens, the read model becomes equal to the log.
#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]
#![allow(clippy::disallowed_methods, reason = "the stage owns the projectors it starts")]

mod building;
mod corruption;
mod following;
mod healing;
mod rebuilding;
mod several;
mod stage;
mod sweeping;
mod world;

//! The fault suite: the whole system, driven by clients, while faults are done to it; then it is judged.
//!
//! A [`Row`] is a row of the matrix of faults. A run is a row, a seed, and a length: the same seed rolls the same
//! faults at the same pace, though never the same threads. [`run`] does one, [`Report`] adds them up.

mod fault;
mod harm;
mod report;
mod row;
mod run;
mod special;
mod stage;
mod tally;

pub use report::Report;
pub use row::Row;
pub use run::{Order, Ran, run};

//! What is seen of a run while it trains.

pub mod best;
pub mod held_out;
pub mod monitor;
pub mod pictures;
pub mod report;
pub mod timing;

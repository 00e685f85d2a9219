//! The network at work: which one, its thread, what several elements share, and its results.

pub mod counts;
pub mod mask;
pub mod pool;
pub mod request;
pub mod worker;

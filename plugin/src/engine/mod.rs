//! The network at work: its thread, what several elements share, and its results.

pub mod mask;
pub mod pool;
pub mod worker;

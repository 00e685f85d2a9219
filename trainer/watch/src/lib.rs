//! A training run, shown: curves as SVG, TensorBoard's event files, and one live page.
//!
//! Everything is read from the run's folder as it lies there ([`metrics`]), so a page can be served while the trainer
//! writes, from another process. Nothing here knows the network or writes into a run, but for [`curves`] and [`events`],
//! which the trainer calls.

pub mod curves;
pub mod events;
pub mod metrics;
pub mod serve;

//! Frames in memory: where their samples lie, what colours these stand for, and how they become a network's input.

pub mod alpha;
pub mod colorimetry;
pub mod layout;
pub mod mapping;
pub mod sampling;

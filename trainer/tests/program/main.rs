//! `factorseg` as its users run it, and the checkpoints and reports that it makes.

mod beginnings;
mod commands;
mod common;
mod errors;
mod evaluate;
mod generation;
#[path = "../../../model/import/tests/made/mod.rs"]
mod made;
mod odd_files;
mod paper;
#[cfg(feature = "mpi")]
mod parallel;
mod resume;
mod self_training;
mod sources;

//! Algorithm 1: the training loop and everything that it keeps.
//!
//! | to change | look into |
//! |---|---|
//! | one step: passes, gradients, update | [`learner`] |
//! | the paper's loss, masks, fresh weights | [`paper`] |
//! | regions that compete for hidden parts | [`competition`] |
//! | learning from a finished checkpoint | [`self_training`] |
//! | several devices | [`parallel`] |
//! | a run's loop, folder and checkpoints | [`run`] |
//! | held-out images, scores, figures, pictures | [`watching`] |

pub mod competition;
pub mod learner;
mod memory;
pub mod paper;
pub mod parallel;
pub mod run;
pub mod self_training;
#[cfg(test)]
mod testing;
pub mod watching;

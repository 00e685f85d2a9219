//! What the user asks for, and what it means for a certain engine.

mod plan;
pub(crate) mod properties;

pub use plan::{EngineRequest, Plan, Settings, SettingsError};

//! What the user asks for, and what it means for a certain engine.

mod choices;
mod plan;
mod properties;

pub use choices::{ErrorPolicy, FillHoles, MaskFormat, Mode, Overlay, Precision, Refine};
pub use plan::{Plan, SettingsError};
pub use properties::Settings;

//! Which engine an element wants, and who makes it.

use std::sync::Arc;

use factorseg_model::{CheckpointSource, Engine, LoadOptions};

/// Which engine a user asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EngineRequest {
    /// Where the weights come from.
    pub model: CheckpointSource,
    /// Where and how it runs.
    pub how: LoadOptions,
}

/// Why a factory has no engine.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the engine that an element asks for.
pub type EngineFactory = Arc<dyn Fn(&EngineRequest) -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

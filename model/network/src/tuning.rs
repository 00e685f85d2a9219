//! Where a GPU's tuned kernels are remembered.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use cubecl_runtime::config::cache::CacheConfig;
use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Keeps what autotuning finds in `factorseg/` of the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`), whatever
/// folder a program runs in. A `cubecl.toml` or `burn.toml` that names another place for it counts, as does a
/// configuration that the application has set before. To be called before a GPU is first used.
///
/// # Errors
/// If there is such a file and it cannot be read.
pub(crate) fn remember_tuning() -> Result<(), String> {
    // cubecl panics over a file that it does not understand.
    let config = catch_unwind(|| CubeClRuntimeConfig::from_current_dir().override_from_env())
        .map_err(|_| "cubecl.toml or burn.toml has mistakes".to_owned())?;
    let config = remembering(config, dirs::cache_dir());
    CubeClRuntimeConfig::storage()
        .lock()
        .get_or_insert_with(|| Arc::new(config));
    Ok(())
}

/// Moves what would be remembered in the `target` folder of the Rust project around the current folder, cubecl's default.
fn remembering(mut config: CubeClRuntimeConfig, cache: Option<PathBuf>) -> CubeClRuntimeConfig {
    if let (CacheConfig::Target, Some(cache)) = (&config.autotune.cache, cache) {
        config.autotune.cache = CacheConfig::File(cache.join("factorseg"));
    }
    config
}

#[cfg(test)]
mod tests;

//! Whether a run fits into this machine's memory, asked before anything of it is allocated. Nothing is estimated for the memory
//! of a GPU: what compiled kernels and autotuning take there is not known before they run.

use anyhow::{Result, ensure};

use super::run::config::RunConfig;

/// Feature maps of the finest level that a step surely keeps for each image of a micro-batch.
const MAPS: u128 = 8;

/// Bytes that a run on the CPU needs at the least: weights, average, gradient and two moments; batches that wait; some
/// feature maps of a micro-batch.
fn least(config: &RunConfig) -> u128 {
    let (model, recipe) = (&config.model, &config.recipe);
    let parameters: u128 = model.parameters().iter().map(|one| one.range().len() as u128).sum();
    let pixels = (model.image_size as u128).pow(2);
    let batches = config.options.prefetch as u128 + 1;
    // An image and its noise.
    let waiting = batches * recipe.batch_size as u128 * 6 * pixels;
    let images = recipe.micro_batch.unwrap_or(recipe.batch_size) as u128;
    let features = MAPS * images * pixels * model.base_channels as u128;
    4 * (5 * parameters + waiting + features)
}

/// Memory of this machine in bytes; `None` where the system does not say.
fn installed() -> Option<u128> {
    // SAFETY: it reads two numbers of the system.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    (pages > 0 && size > 0).then(|| pages as u128 * size as u128)
}

/// Checks that a run on the CPU can fit.
///
/// # Errors
/// If it surely does not, with what it needs and what there is.
pub fn check(config: &RunConfig) -> Result<()> {
    let (needed, there) = (least(config), installed().unwrap_or(u128::MAX));
    ensure!(
        needed <= there,
        "the run needs at least {} MiB of memory, this machine has {}: use a smaller --micro-batch, --batch-size, --prefetch or \
         network",
        needed >> 20,
        there >> 20
    );
    Ok(())
}

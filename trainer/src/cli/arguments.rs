//! Arguments that several commands take.

use clap::Args;
use factorseg_model::Precision;

use crate::data::cache::ImageCache;
use crate::data::dataset::DataSet;
use crate::data::loader::LoaderOptions;
use crate::recipe::Recipe;

/// Changes of a recipe's batches.
#[derive(Debug, Args)]
pub struct BatchArguments {
    /// Images per step, instead of the recipe's
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Images per pass; a batch is accumulated from them
    #[arg(long, value_name = "N")]
    micro_batch: Option<usize>,
}

impl BatchArguments {
    /// Puts them in the recipe, which is not checked.
    pub fn change(&self, recipe: &mut Recipe) {
        if let Some(batch_size) = self.batch_size {
            recipe.batch_size = batch_size;
            recipe.micro_batch = recipe.micro_batch.filter(|size| *size <= batch_size);
        }
        recipe.micro_batch = self.micro_batch.or(recipe.micro_batch);
    }
}

/// What training computes in and on, but for the device.
#[derive(Debug, Args)]
pub struct ComputeArguments {
    /// f32, or bf16 on CUDA: bfloat16 passes with norms, softmax, loss and weights in 32 bits
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
}

/// How images are read.
#[derive(Debug, Args)]
pub struct InputArguments {
    /// Threads that read, decode and noise images; 0: one per core
    #[arg(long, default_value_t = 2, value_name = "N")]
    input_threads: usize,
    /// Batches kept ready
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub prefetch: usize,
    /// Memory for decoded images
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub cache_mib: usize,
    /// Broken images that are skipped before it is an error
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_broken: usize,
}

impl InputArguments {
    /// Threads, at least one.
    pub fn threads(&self) -> usize {
        threads(self.input_threads)
    }

    /// A cache of `images` with a shorter side of `side`.
    pub fn cache(&self, images: DataSet, side: usize) -> ImageCache {
        ImageCache::new(images, side, self.cache_mib << 20, self.max_broken)
    }

    /// How far ahead batches are made, and by how many.
    pub fn loader(&self) -> LoaderOptions {
        LoaderOptions {
            threads: self.threads(),
            prefetch: self.prefetch,
        }
    }
}

/// As many threads as asked for, or one per core for 0.
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}

//! Arguments that several commands take.

use std::error::Error;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use factorseg_model::Precision;

use crate::data::cache::ImageCache;
use crate::data::dataset::DataSet;
use crate::data::loader::LoaderOptions;
use crate::data::share::Share;
use crate::recipe::{MOST_IMAGES, Recipe};
use crate::training::run::config::{MOST_CACHE_MIB, MOST_PREFETCH, MOST_THREADS};

/// What `--preset` takes, smallest first.
pub const PRESETS: &[&str] = &["tiny", "small", "paper-64", "paper-128"];
/// What `--decoding` takes: the names of [`factorseg_kernels::Decoding`].
pub const DECODINGS: &[&str] = &["factorized", "concatenated", "masked-middle", "unshared"];
/// What `--precision` takes.
pub const PRECISIONS: &[&str] = &["auto", "f32", "bf16"];

/// One of `words`, which the help lists and a shell completes.
pub fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

/// A number from `least` to `most`.
pub fn count(least: usize, most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least as u64..=most as u64)
}

/// A region, which users count from 1, as an index.
pub fn region(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(region) if region > 0 => Ok(region - 1),
        _ => Err("expected a region; they count from 1".to_owned()),
    }
}

/// Regions as users count them.
pub fn from_1(regions: &[usize]) -> Vec<usize> {
    regions.iter().map(|region| region + 1).collect()
}

/// Changes of a recipe's batches.
#[derive(Debug, Args)]
pub struct BatchArguments {
    /// Images per step, instead of the recipe's
    #[arg(long, value_name = "N", value_parser = count(1, MOST_IMAGES))]
    batch_size: Option<usize>,
    /// Images per pass; a batch is accumulated from them
    #[arg(long, value_name = "N", value_parser = count(1, MOST_IMAGES))]
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
    /// bf16: bfloat16 passes with norms, softmax, loss and weights in 32 bits, on CUDA and on processors with AVX512-BF16
    #[arg(long, default_value = "f32", value_parser = word::<Precision>(PRECISIONS))]
    pub precision: Precision,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    pub threads: usize,
}

/// Work that is shared out among processes.
#[derive(Debug, Args)]
pub struct ShardArgument {
    /// Do share I, from 0, of N [default: the place that mpirun or srun has given to the process]
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
}

impl ShardArgument {
    /// The part of this process.
    pub fn share(&self) -> Share {
        self.shard.unwrap_or_else(Share::of_launcher)
    }
}

/// How images are read.
#[derive(Debug, Args)]
pub struct InputArguments {
    /// Threads that read, decode and noise images; 0: one per core
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = count(0, MOST_THREADS))]
    input_threads: usize,
    /// Batches kept ready
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = count(0, MOST_PREFETCH))]
    pub prefetch: usize,
    /// Memory for decoded images
    #[arg(long, default_value_t = 2048, value_name = "MIB", value_parser = count(0, MOST_CACHE_MIB))]
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

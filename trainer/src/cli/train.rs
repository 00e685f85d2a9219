//! `factorseg train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use clap::Args;
use factorseg_kernels::Decoding;
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::{CheckpointSource, DeviceSpec, ModelConfig, Preset};

use super::arguments::{BatchArguments, ComputeArguments, DECODINGS, InputArguments, PRESETS, word};
use super::packing::{FrameArguments, STOPPING, pack_with_progress};
use super::{exit_code, set_threads};
use crate::data::batch::BatchMaker;
use crate::data::dataset::DataSet;
use crate::data::labelled::pack_labelled;
use crate::data::packing::{PackOptions, Witness};
use crate::data::source::Source;
use crate::data::teacher::Teacher;
use crate::recipe::{DEFAULT_RECIPE, MOST_STEPS, Recipe};
use crate::training::parallel::Ranks;
use crate::training::run::config::{DataDescription, OWN_DATA, RunConfig, RunOptions, StoredPrecision};
use crate::training::run::directory::RunDirectory;
use crate::training::run::signals::{Answer, Signals};
use crate::training::{run, self_training};

/// Train a model on pictures or videos, without labels.
///
/// DATA is a folder that holds one sub-folder of images per class (a conditional model), or the images themselves (an
/// unconditional one); or a file of `factorseg pack`, a tar archive or a folder of them. A video, a folder that holds
/// videos, and a URL are packed into the run's folder first. Nothing else is needed: no masks, no boxes.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
Examples:
  factorseg train photos --run runs/photos
  factorseg train footage --run runs/footage                    (videos: frames spread over their shots)
  factorseg train imagenet-64.pack --run runs/imagenet --preset paper-64 --recipe paper-imagenet
  mpirun -n 8 --bind-to none factorseg train photos --run runs/photos --device cuda    (one process for each GPU)
  factorseg recipes competition > mine.toml && factorseg train birds --run runs/birds --recipe mine.toml --steps 20000
  factorseg train photos --run runs/student --recipe self-training --init-from runs/photos/model.safetensors
  factorseg resume runs/photos"
)]
pub struct Train {
    /// Folder of images or videos, packed file, tar archive(s), or URL
    data: String,
    /// Folder of the run: configuration, metrics, pictures, checkpoints
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// Size of the network [default: the network of --init-from, else small]
    #[arg(long, value_parser = word::<Preset>(PRESETS))]
    preset: Option<Preset>,
    /// Schedule: a built-in name (see `factorseg recipes`) or a TOML or JSON file
    #[arg(long, default_value = DEFAULT_RECIPE, value_name = "NAME|FILE")]
    recipe: String,
    /// Start from the weights of a checkpoint
    #[arg(long, value_name = "CHECKPOINT")]
    init_from: Option<PathBuf>,
    /// Checkpoint whose masks a recipe with self_training learns [default: that of --init-from]
    #[arg(long, value_name = "CHECKPOINT")]
    teacher: Option<PathBuf>,
    /// Leave out the classes that the folders name
    #[arg(long)]
    unconditional: bool,
    /// Number of regions K; a multiple of those of --init-from splits each of them
    #[arg(long, value_name = "K")]
    regions: Option<usize>,
    /// Side of the training images in pixels
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// Channels C of the finest level
    #[arg(long, value_name = "C")]
    base_channels: Option<usize>,
    /// Channels of each level in multiples of C, finest first
    #[arg(long, value_name = "M,M,..", value_delimiter = ',')]
    channel_multipliers: Option<Vec<usize>>,
    /// Residual blocks per level
    #[arg(long, value_name = "N")]
    residual_blocks: Option<usize>,
    /// Sides of the levels with self-attention [default: the levels of --init-from, else of the preset]
    #[arg(long, value_name = "SIDE,..", value_delimiter = ',')]
    attention_resolutions: Option<Vec<usize>>,
    /// How the decoder takes in the masks: the paper's way, or an ablation of its Table 6 [default: that of --init-from, else
    /// factorized]
    #[arg(long, value_parser = word::<Decoding>(DECODINGS))]
    decoding: Option<Decoding>,
    #[command(flatten)]
    batch: BatchArguments,
    /// Steps of the whole run; the recipe's phases are scaled alike
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_STEPS))]
    steps: Option<u64>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Images kept out of training to watch progress on
    #[arg(long, default_value_t = 32, value_name = "N")]
    held_out: usize,
    #[command(flatten)]
    frames: FrameArguments,
    #[command(flatten)]
    options: Options,
    /// Print the metrics as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

/// What a signal is answered with until there is a run.
const STARTING: Answer = Answer::End("interrupted; no run was begun");

/// Options that do not change what is computed.
#[derive(Debug, Args)]
struct Options {
    /// auto, cpu, cuda or cuda:N; of several processes on a machine, each takes the next GPU
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    input: InputArguments,
    /// Steps between lines of the log
    #[arg(long, default_value_t = 20, value_name = "STEPS")]
    log_every: u64,
    /// Steps between pictures of held-out images; 0: none
    #[arg(long, default_value_t = 500, value_name = "STEPS")]
    sample_every: u64,
    /// Steps between checkpoints
    #[arg(long, default_value_t = 500, value_name = "STEPS")]
    save_every: u64,
    /// Newest checkpoints kept; the best one stays beside them
    #[arg(long, default_value_t = 2, value_name = "N")]
    keep: usize,
}

impl Train {
    /// Runs the command.
    pub fn run(self, ranks: &Ranks) -> Result<ExitCode> {
        let signals = Signals::listen(STARTING)?;
        set_threads(ranks.threads(self.options.compute.threads))?;
        RunDirectory::refuse_existing(&self.run)?;
        let source = Source::parse(&self.data)?;
        let mut recipe = self.recipe(ranks)?;
        let mut images = self.images(&source, &recipe, &signals, ranks)?;
        if self.unconditional {
            images = images.without_classes();
        }
        let labels = recipe.labels();
        if self.teacher.is_some() && (recipe.self_training.is_none() || labels.is_some()) {
            bail!(
                "recipe {} learns from no teacher; leave out --teacher, or use a recipe with self_training",
                recipe.name
            );
        }
        ensure!(
            !recipe.learns_from_motion() || images.has_objects(),
            "recipe {} learns from what moves in videos, and in {} no video shows surely what that is; name a folder that holds videos, \
             or a pack that was made by such a run",
            recipe.name,
            self.data
        );
        let regions = match labels {
            Some(labels) => Some(labels.regions()),
            None => recipe.competing_regions(),
        };
        let model = self.model(images.classes().len(), regions)?;
        if model.regions == 1 {
            recipe.leave_out_masks();
        }
        let needed = BatchMaker::cached_side(model.image_size, &recipe.augmentation);
        match images.side() {
            Some(side) if side < model.image_size => bail!(
                "{} is packed at {side} pixels, too small for --image-size {}; pack it again with --size {needed}",
                self.data,
                model.image_size
            ),
            Some(side) if side < needed && ranks.lead() => eprintln!(
                "{} is packed at {side} pixels: crops have less room than the recipe's crop_scale asks for (--size {needed})",
                self.data
            ),
            _ => {}
        }
        let data = DataDescription::of(&images, self.unconditional, self.held_out);
        let options = self.options;
        let config = RunConfig {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.seed,
            data,
            model,
            teacher: recipe
                .self_training
                .as_ref()
                .filter(|learns| learns.labels.is_none())
                .and_then(|_| self.teacher.or_else(|| self.init_from.clone())),
            init_from: self.init_from,
            recipe,
            options: RunOptions {
                device: options.device.to_string(),
                precision: StoredPrecision(options.compute.precision),
                threads: options.compute.threads,
                input_threads: options.input.threads(),
                prefetch: options.input.prefetch,
                cache_mib: options.input.cache_mib,
                max_broken: options.input.max_broken,
                log_every: options.log_every,
                sample_every: options.sample_every,
                save_every: options.save_every,
                keep: options.keep,
            },
        };
        config.validate()?;
        let (data, recipe) = (&config.data, &config.recipe);
        if ranks.lead() && !data.classes.is_empty() && recipe.label_dropout == 0.0 {
            eprintln!(
                "note: recipe {} trains no picture without its class (label_dropout = 0): class `none` will be the mean of all",
                recipe.name
            );
        }
        if ranks.lead() {
            eprintln!(
                "{} images{} in {}, recipe {}, {} steps of {} images",
                data.images,
                if data.classes.is_empty() {
                    String::new()
                } else {
                    format!(" of {} classes", data.classes.len())
                },
                data.path.display(),
                recipe.name,
                recipe.total_steps(),
                recipe.batch_size
            );
        }
        run::start(&self.run, config, images, &signals, self.json, ranks).map(exit_code)
    }

    /// The images; those of videos and object stores are packed into the run's folder first.
    fn images(&self, source: &Source, recipe: &Recipe, signals: &Signals, ranks: &Ranks) -> Result<DataSet> {
        let pack = self.run.join(OWN_DATA);
        if let Some(labels) = recipe.labels() {
            let side = self.model(0, None)?.image_size;
            ranks.first_lead(|| pack_labelled(Path::new(&self.data), labels, side, &pack))?;
            return Ok(DataSet::open(&pack)?);
        }
        if !source.needs_packing() {
            let images = DataSet::of(source)?;
            if ranks.lead() {
                images.skipped().lines().for_each(|line| eprintln!("{line}"));
            }
            return Ok(images);
        }
        let side = self.model(0, None)?.image_size;
        let options = PackOptions {
            side: BatchMaker::cached_side(side, &recipe.augmentation),
            square: false,
            unconditional: self.unconditional,
            threads: self.options.input.threads(),
            max_broken: self.options.input.max_broken,
            frames: self.frames.options(recipe.learns_from_motion()),
            witness: self.witness(recipe)?,
            store: Vec::new(),
        };
        ranks.first_lead(|| {
            eprintln!("packing {source} into {}", pack.display());
            signals.answer(STOPPING);
            pack_with_progress(source, &pack, &options, signals)?;
            signals.answer(STARTING);
            Ok(())
        })?;
        Ok(DataSet::open(&pack)?)
    }

    /// Who says where the object is in the frames of videos.
    fn witness(&self, recipe: &Recipe) -> Result<Option<Arc<dyn Witness>>> {
        if !recipe.learns_from_motion() {
            return Ok(None);
        }
        let named = self.teacher.as_deref().or(self.init_from.as_deref());
        let teacher = Teacher::load(CheckpointSource::from_path(self_training::file(recipe, named)?))?;
        teacher.tells_object()?;
        Ok(Some(Arc::new(teacher)))
    }

    fn recipe(&self, ranks: &Ranks) -> Result<Recipe> {
        let mut recipe = Recipe::load(&self.recipe)?;
        self.batch.change(&mut recipe);
        if let Some(steps) = self.steps {
            recipe.scale_to(steps);
        }
        recipe.validate()?;
        let processes = ranks.share.count;
        let parts = |recipe: &Recipe| {
            recipe
                .batch_size
                .div_ceil(recipe.micro_batch.unwrap_or(recipe.batch_size))
        };
        if parts(&recipe) < processes {
            ensure!(
                processes <= recipe.batch_size,
                "{processes} processes for {} images a step",
                recipe.batch_size
            );
            // Not rounded up: 4 images on 3 processes would be 2 micro-batches.
            let size = recipe.batch_size / processes;
            recipe.micro_batch = Some(size);
            if ranks.lead() {
                eprintln!("micro_batch is {size}, so that each of {processes} processes has its share of a step");
            }
        }
        Ok(recipe)
    }

    /// The network: without `--init-from` one of so many regions.
    fn model(&self, classes: usize, regions: Option<usize>) -> Result<ModelConfig> {
        let mut model = match (self.preset, &self.init_from) {
            (None, Some(path)) => {
                let checkpoint = Checkpoint::open(&CheckpointSource::from_path(path.clone()))?;
                let there = checkpoint.config();
                there.resized(self.image_size.unwrap_or(there.image_size))
            }
            (preset, _) => {
                let mut model = ModelConfig::preset(preset.unwrap_or(Preset::Small));
                model.regions = regions.unwrap_or(model.regions);
                model.image_size = self.image_size.unwrap_or(model.image_size);
                model
            }
        };
        model.classes = classes;
        let set = |field: &mut usize, value: Option<usize>| *field = value.unwrap_or(*field);
        set(&mut model.regions, self.regions);
        set(&mut model.base_channels, self.base_channels);
        set(&mut model.residual_blocks, self.residual_blocks);
        if let Some(multipliers) = &self.channel_multipliers {
            model.channel_multipliers = multipliers.clone();
        }
        if let Some(resolutions) = &self.attention_resolutions {
            model.attention_resolutions = resolutions.clone();
        }
        model.decoding = self.decoding.unwrap_or(model.decoding);
        model.validate()?;
        Ok(model)
    }
}

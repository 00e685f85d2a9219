//! `factorseg generate`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_kernels::KernelError;
use factorseg_model::sampler::Moment;
use factorseg_model::{NoiseSchedule, RegionMap};
use image::RgbImage;
use serde_json::json;

use super::arguments::count;
use super::generator::{Generator, GeneratorArguments, progress, save};
use super::masks::{Format, MaskWriter};
use crate::training::run::signals::{Answer, INTERRUPTED, Signals};
use crate::training::watching::pictures::{Cell, image_cell, mask_cell, mask_grid, region_cell, scale, sheet, to_byte};

/// Moments of the way that `--trajectory` shows, beside the end.
const MOMENTS: usize = 9;
/// The part of all timesteps at which `--branches` asks each branch: a picture is there, and not yet decided.
const BRANCHES_AT: f64 = 0.25;

/// Generate pictures together with their regions (Algorithm 2).
///
/// Writes one picture: for each image the image, its regions drawn over it, and each soft mask.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg generate --model runs/photos/model.safetensors --out drawn.png
  factorseg generate --model runs/photos/model.safetensors --count 4 --class tabby,none --images drawn --out drawn.png
  factorseg generate --model runs/photos/model.safetensors --sampler ddim --steps 50 --count 64 --out many.png")]
pub struct Generate {
    /// Picture to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    generator: GeneratorArguments,
    /// Classes by name, WordNet id or index
    #[arg(long, default_value = "none", value_name = "CLASS,..", value_delimiter = ',')]
    class: Vec<String>,
    /// Number of images of each class
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = count(1, 1_000_000))]
    count: usize,
    /// Folder for each image (00000.png), its regions and its soft masks
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Picture of the way from noise: x_t, and the regions over what it becomes
    #[arg(long, value_name = "FILE")]
    trajectory: Option<PathBuf>,
    /// Picture of each region's mask and of what its branch alone predicts, at a quarter of the timesteps
    #[arg(long, value_name = "FILE")]
    branches: Option<PathBuf>,
    /// Print what was generated as JSON
    #[arg(long)]
    json: bool,
}

/// What one batch after another gives.
#[derive(Default)]
struct Drawn {
    images: Vec<f32>,
    masks: Vec<f32>,
    trajectory: Vec<Cell>,
    branches: Vec<Cell>,
}

impl Generate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let total = self.count * self.class.len();
        let mut generator = self.generator.load(total, None)?;
        let classes = self
            .class
            .iter()
            .map(|word| generator.class(word))
            .collect::<Result<Vec<i32>>>()?;
        if let Some(folder) = &self.images {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let signals = Signals::listen(Answer::Ask("interrupted: stopping; the images that are done are kept"))?;
        let bar = progress(total.div_ceil(self.generator.batch) * generator.sampler.timesteps().len())?;
        let mut drawn = Drawn::default();
        let (side, regions) = (generator.config.image_size, generator.config.regions);
        let of = |index: usize| classes[index / self.count];
        for start in (0..total).step_by(self.generator.batch) {
            let indices = start..(start + self.generator.batch).min(total);
            let classes: Vec<i32> = indices.clone().map(of).collect();
            let goes_on = || {
                bar.inc(1);
                !signals.asked()
            };
            if !self.batch(&mut generator, indices.start, &classes, &mut drawn, &goes_on)? {
                break;
            }
            if let Some(folder) = &self.images {
                each(folder, indices, &drawn, side, regions)?;
            }
        }
        bar.finish_and_clear();
        let images = drawn.images.len() / (3 * side * side);
        if images > 0 {
            let grid = mask_grid(&drawn.images, &drawn.masks, side, regions, scale(side));
            save(&grid, &self.out)?;
        }
        let moments = self.shown(generator.sampler.timesteps()).len() + 1;
        for (path, cells, across) in [
            (&self.trajectory, &drawn.trajectory, moments),
            (&self.branches, &drawn.branches, 1 + 2 * regions),
        ] {
            if let (Some(path), false) = (path, cells.is_empty()) {
                save(&sheet(cells, across, across, scale(side)), path)?;
            }
        }
        if self.json {
            let line = json!({ "file": self.out, "images": images, "image_size": side, "regions": regions });
            println!("{line}");
        }
        if images < total {
            eprintln!("{images} of {total} images are done");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        eprintln!("{images} images in {}", self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    /// The images of one batch, `first` and those after it; `false` if it was interrupted.
    fn batch(
        &self,
        generator: &mut Generator,
        first: usize,
        classes: &[i32],
        drawn: &mut Drawn,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let Generator {
            network,
            sampler,
            config,
            ..
        } = generator;
        let (image, plane) = (3 * config.image_size.pow(2), config.image_size.pow(2));
        let seeds: Vec<u64> = (first..first + classes.len())
            .map(|index| seed(self.generator.seed, index))
            .collect();
        let mut images: Vec<f32> = seeds.iter().flat_map(|seed| sampler.noise(*seed)).collect();
        // Rows of each image: x_t, and the regions over what it becomes.
        let mut rows = vec![[Vec::new(), Vec::new()]; seeds.len()];
        let mut failed: Option<KernelError> = None;
        let mut branches = Vec::new();
        let (shown, asked) = (self.shown(sampler.timesteps()), self.asked(sampler.timesteps()));
        let masks = sampler.denoise(network.as_mut(), &mut images, classes, &seeds, |moment, network| {
            let clean = || sampler.schedule().clean(moment.images, moment.noise, moment.timestep);
            if shown.contains(&moment.timestep) {
                add(&mut rows, moment.images, &clean(), moment.masks);
            }
            if asked == Some(moment.timestep) {
                match network.branches() {
                    Ok(each) => branches = cells_of_branches(moment, &each, sampler.schedule(), plane),
                    Err(error) => failed = Some(error),
                }
            }
            goes_on() && failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Some(masks) = masks else { return Ok(false) };
        if self.trajectory.is_some() {
            add(&mut rows, &images, &images, &masks);
            drawn.trajectory.extend(rows.into_iter().flatten().flatten());
        }
        let of_image = branches.len() / seeds.len();
        for (index, picture) in images.chunks_exact(image).enumerate().filter(|_| of_image > 0) {
            drawn.branches.push(image_cell(picture));
            drawn
                .branches
                .extend_from_slice(&branches[index * of_image..(index + 1) * of_image]);
        }
        drawn.images.extend(images);
        drawn.masks.extend(masks);
        Ok(true)
    }

    /// Timesteps that are shown on the way.
    fn shown(&self, timesteps: &[usize]) -> Vec<usize> {
        let last = timesteps.len() - 1;
        let at = |moment: usize| timesteps[moment * last / (MOMENTS - 1)];
        let mut shown: Vec<usize> = match self.trajectory {
            Some(_) => (0..MOMENTS).map(at).collect(),
            None => Vec::new(),
        };
        shown.dedup();
        shown
    }

    /// The timestep at which branches are asked.
    fn asked(&self, timesteps: &[usize]) -> Option<usize> {
        let at = (timesteps[0] as f64 * BRANCHES_AT) as usize;
        self.branches.as_ref()?;
        timesteps.iter().copied().min_by_key(|timestep| timestep.abs_diff(at))
    }
}

/// A seed of its own for each image, whatever is generated beside it.
fn seed(seed: u64, index: usize) -> u64 {
    seed.wrapping_add((index as u64).wrapping_mul(0xD1B5_4A32_D192_ED03))
}

/// Adds a moment to the rows of each image.
fn add(rows: &mut [[Vec<Cell>; 2]], images: &[f32], clean: &[f32], masks: &[f32]) {
    let (image, map) = (images.len() / rows.len(), masks.len() / rows.len());
    for (index, [noised, regions]) in rows.iter_mut().enumerate() {
        noised.push(image_cell(&images[index * image..(index + 1) * image]));
        let (clean, masks) = (
            &clean[index * image..(index + 1) * image],
            &masks[index * map..(index + 1) * map],
        );
        regions.push(region_cell(clean, masks));
    }
}

/// For each image and region the mask, and the picture that the region's branch alone predicts.
fn cells_of_branches(moment: &Moment<'_>, branches: &[f32], schedule: &NoiseSchedule, plane: usize) -> Vec<Cell> {
    let regions = moment.masks.len() / plane / (moment.images.len() / (3 * plane));
    let each = branches
        .chunks_exact(3 * plane)
        .zip(moment.masks.chunks_exact(plane))
        .enumerate();
    each.flat_map(|(index, (noise, mask))| {
        let x_t = &moment.images[index / regions * 3 * plane..][..3 * plane];
        [
            mask_cell(mask),
            image_cell(&schedule.clean(x_t, noise, moment.timestep)),
        ]
    })
    .collect()
}

/// Writes images of their own, with their regions and soft masks.
fn each(folder: &Path, indices: std::ops::Range<usize>, drawn: &Drawn, side: usize, regions: usize) -> Result<()> {
    let pixels = side * side;
    let writer = MaskWriter {
        folder,
        formats: &[Format::Palette],
        foreground: &[],
        alpha: 0.5,
        soft: true,
    };
    for index in indices {
        let values = &drawn.images[index * 3 * pixels..(index + 1) * 3 * pixels];
        let bytes = (0..3 * pixels)
            .map(|at| to_byte(values[at % 3 * pixels + at / 3]))
            .collect();
        let picture = RgbImage::from_raw(side as u32, side as u32, bytes).context("a picture without its pixels")?;
        let name = format!("{index:05}");
        save(&picture, &folder.join(format!("{name}.png")))?;
        let map = RegionMap {
            regions,
            width: side,
            height: side,
            probabilities: drawn.masks[index * regions * pixels..(index + 1) * regions * pixels].to_vec(),
        };
        writer.write(&name, &picture, &map)?;
    }
    Ok(())
}

//! `factorseg interpolate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_kernels::KernelError;

use super::arguments::count;
use super::generator::{GeneratorArguments, MOST_TIMESTEPS, progress, save};
use crate::data::batch::centre_square;
use crate::data::decode::read_image;
use crate::training::run::signals::{Answer, Signals};
use crate::training::watching::pictures::{image_cell, region_cell, scale, sheet};

/// Pictures between two pictures, with their regions (Figure 12).
///
/// Both are noised to a timestep (Eq. 1), mixed there, and denoised again. Rows: the pictures mixed as they are, what the network makes of
/// them, and its regions. The mixed noise keeps its variance.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg interpolate one.jpg other.jpg --model runs/photos/model.safetensors --out between.png
  factorseg interpolate one.jpg other.jpg --model runs/faces/model.safetensors --timestep 500 --sampler ddim --steps 50 --out between.png")]
pub struct Interpolate {
    /// The first picture
    from: PathBuf,
    /// The last picture
    to: PathBuf,
    /// Picture to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    generator: GeneratorArguments,
    /// Noise level t at which they are mixed
    #[arg(long, default_value_t = 250, value_name = "T", value_parser = count(1, MOST_TIMESTEPS))]
    timestep: usize,
    /// Class name, WordNet id or index
    #[arg(long, default_value = "none")]
    class: String,
    /// Number of pictures, the two ends among them
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = count(2, 64))]
    count: usize,
}

impl Interpolate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut generator = self.generator.load(self.count, Some(self.timestep))?;
        let class = generator.class(&self.class)?;
        let side = generator.config.image_size;
        let (from, to) = (square(&self.from, side)?, square(&self.to, side)?);
        let sampler = &generator.sampler;
        let noises = [0, 1].map(|end| sampler.noise(self.generator.seed.wrapping_add(end)));
        let (image_part, noise_part) = sampler.schedule().mix(sampler.timesteps()[0]);
        let (mut mixed, mut images) = (Vec::new(), Vec::new());
        for index in 0..self.count {
            let part = index as f64 / (self.count - 1) as f64;
            let (sine, cosine) = (part * std::f64::consts::FRAC_PI_2).sin_cos();
            let both = from
                .iter()
                .zip(&to)
                .map(|(a, b)| (1.0 - part as f32) * a + part as f32 * b);
            mixed.extend(both);
            let noise = noises[0].iter().zip(&noises[1]);
            let noise = noise.map(|(a, b)| (cosine as f32) * a + (sine as f32) * b);
            let clean = &mixed[index * from.len()..];
            images.extend(
                clean
                    .iter()
                    .zip(noise)
                    .map(|(x, e)| image_part as f32 * x + noise_part as f32 * e),
            );
        }
        Signals::listen(Answer::End("interrupted; nothing was written"))?;
        let bar = progress(self.count.div_ceil(self.generator.batch) * sampler.timesteps().len())?;
        let mut masks = Vec::new();
        for part in images.chunks_mut(self.generator.batch * from.len()) {
            // One noise for all: neighbours differ by what they show.
            let seeds = vec![self.generator.seed; part.len() / from.len()];
            let classes = vec![class; seeds.len()];
            let found = sampler.denoise(generator.network.as_mut(), part, &classes, &seeds, |_, _| {
                bar.inc(1);
                true
            });
            masks.extend(found?.ok_or(KernelError::Device("sampling stopped".to_owned()))?);
        }
        bar.finish_and_clear();
        let (pictures, maps) = (
            images.chunks_exact(from.len()),
            masks.chunks_exact(masks.len() / self.count),
        );
        let mut cells: Vec<_> = mixed.chunks_exact(from.len()).map(image_cell).collect();
        cells.extend(pictures.clone().map(image_cell));
        cells.extend(pictures.zip(maps).map(|(image, masks)| region_cell(image, masks)));
        save(&sheet(&cells, self.count, self.count, scale(side)), &self.out)?;
        eprintln!("{} pictures in {}", self.count, self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// The middle square of a picture, `[3, side, side]` in -1..=1.
fn square(path: &Path, side: usize) -> Result<Vec<f32>> {
    let pixels = read_image(path, side).with_context(|| path.display().to_string())?;
    Ok(centre_square(&pixels, side).0)
}

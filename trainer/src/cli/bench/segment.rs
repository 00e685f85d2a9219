//! `factorseg bench segment`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use factorseg_model::checkpoint::{self, WeightType};
use factorseg_model::{
    CheckpointInfo, CheckpointSource, DeviceSpec, Engine, InputImage, LoadOptions, ModelConfig, Precision, Preset,
    RegionMap, Segmenter, SegmenterOptions,
};
use serde_json::json;

use crate::cli::arguments::{PRECISIONS, PRESETS, count, word};
use crate::training::paper::initial_weights;
use crate::training::run::config::MOST_THREADS;

/// Time of a segmentation pass, as the element calls it: noise, the network, probabilities back in memory.
///
/// Without a checkpoint the network of a preset with random weights is measured.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg bench segment --preset paper-64 --device cuda --precision bf16 --batch 1,8,32,128 --json
  factorseg bench segment --model mine.safetensors --device cpu --threads 1")]
pub struct SegmentBench {
    /// Checkpoint to measure
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "preset")]
    model: Option<PathBuf>,
    /// Size of a network with random weights
    #[arg(long, default_value = "tiny", value_parser = word::<Preset>(PRESETS))]
    preset: Preset,
    /// Images per pass
    #[arg(long, default_value = "1", value_name = "N,..", value_delimiter = ',', value_parser = count(1, 4096))]
    batch: Vec<usize>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// What passes compute in
    #[arg(long, default_value = "auto", value_parser = word::<Precision>(PRECISIONS))]
    precision: Precision,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
    /// Time to measure each batch size
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// Only runs each batch size once, so that the device's kernels are tuned and cached
    #[arg(long)]
    warm: bool,
    /// First compare the probabilities with those of the CPU in f32; the largest difference may be this
    #[arg(long, value_name = "DIFFERENCE")]
    parity: Option<f32>,
    /// Judge pixels again by the picture's colours, as the element does; left out, the network alone is measured
    #[arg(long)]
    color_model: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number from 0 to 86400".to_owned()),
    }
}

impl SegmentBench {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let scratch = tempfile::tempdir()?;
        let (source, name) = match &self.model {
            Some(path) => (CheckpointSource::from_path(path.clone()), path.display().to_string()),
            None => {
                let path = scratch.path().join("random.safetensors");
                let config = ModelConfig::preset(self.preset);
                let info = CheckpointInfo::default();
                let mut weights = initial_weights(&config, 0);
                // A fresh network's heads are zero, and its masks uniform whatever the arithmetic does.
                for head in config.parameters() {
                    if head.name.ends_with("conv_out.weight") {
                        let values = weights[head.range()].iter_mut().enumerate();
                        values.for_each(|(i, value)| *value = 0.05 * (i as f32 * 0.618).sin());
                    }
                }
                checkpoint::save(&path, &weights, &config, &info, WeightType::F32)?;
                (CheckpointSource::from_path(path), self.preset.to_string())
            }
        };
        let how = LoadOptions {
            device: self.device,
            precision: self.precision,
            threads: self.threads,
        };
        let options = SegmenterOptions {
            color_model: self.color_model,
            ..SegmenterOptions::default()
        };
        let loading = Instant::now();
        let mut segmenter = Segmenter::load(&source, how, &options)?;
        let loaded = loading.elapsed().as_secs_f64();
        let side = segmenter.config().image_size;
        if let Some(allowed) = self.parity {
            let reference = LoadOptions {
                device: DeviceSpec::Cpu,
                threads: self.threads,
                ..LoadOptions::default()
            };
            let mut reference = Segmenter::load(&source, reference, &options)?;
            let Differences { largest, mean, labels } = Differences::between(&mut segmenter, &mut reference, side)?;
            ensure!(
                largest <= allowed,
                "{name}: probabilities on {} in {} differ from the CPU's by {largest:e}; {allowed:e} is allowed",
                segmenter.info().device,
                segmenter.info().precision
            );
            eprintln!(
                "{name}: largest difference from the CPU in f32 {largest:e}, mean {mean:e}, same label in {:.2} % of pixels",
                100.0 * labels
            );
        }
        for batch in self.batch {
            let image = InputImage {
                width: side,
                height: side,
                data: (0..3 * side * side).map(|i| (i % 255) as f32 / 127.5 - 1.0).collect(),
            };
            let images = vec![image; batch];
            let first = Instant::now();
            segmenter.segment(&images)?;
            let first = first.elapsed().as_secs_f64() * 1e3;
            let mut times = Vec::new();
            let end = Instant::now() + Duration::from_secs_f64(self.seconds);
            while !self.warm && (times.len() < 3 || Instant::now() < end) {
                let start = Instant::now();
                segmenter.segment(&images)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_unstable_by(f64::total_cmp);
            let info = segmenter.info();
            let (least, median) = (times.first(), times.get(times.len() / 2));
            if self.json {
                let line = json!({
                    "model": name, "device": info.device, "precision": info.precision.to_string(), "batch": batch,
                    "image_size": side, "load_seconds": loaded, "first_milliseconds": first,
                    "least_milliseconds": least, "median_milliseconds": median,
                    "images_per_second": median.map(|median| batch as f64 * 1e3 / median),
                });
                println!("{line}");
            } else if let (Some(least), Some(median)) = (least, median) {
                println!(
                    "{name} on {} in {}, batch {batch}: {least:.2} ms least, {median:.2} ms median, {:.1} images/s (first pass {first:.0} ms)",
                    info.device,
                    info.precision,
                    batch as f64 * 1e3 / median
                );
            } else {
                println!(
                    "{name} on {} in {}, batch {batch}: first pass {first:.0} ms",
                    info.device, info.precision
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How the probabilities of two segmenters of the same network differ.
struct Differences {
    largest: f32,
    mean: f64,
    /// Share of the pixels whose most probable region is the same.
    labels: f64,
}

impl Differences {
    /// On pictures that are square, wide and high.
    fn between(one: &mut Segmenter, other: &mut Segmenter, side: usize) -> Result<Self> {
        let (mut largest, mut sum, mut count) = (0.0f32, 0.0, 0);
        let (mut same, mut pixels) = (0, 0);
        for (width, height) in [(side, side), (2 * side, side), (side, 2 * side)] {
            let image = InputImage {
                width,
                height,
                data: (0..3 * width * height)
                    .map(|i| (i % width) as f32 / width as f32 - (i % 17) as f32 / 17.0)
                    .collect(),
            };
            let images = [image];
            let [a, b] = [&mut *one, &mut *other].map(|segmenter| segmenter.segment(&images));
            let (a, b) = (a?, b?);
            for (a, b) in a[0].probabilities.iter().zip(&b[0].probabilities) {
                // `max` would let a NaN pass.
                let difference = (a - b).abs();
                largest = if difference <= largest { largest } else { difference };
                sum += f64::from(difference);
                count += 1;
            }
            same += (0..width * height)
                .filter(|&pixel| label(&a[0], pixel) == label(&b[0], pixel))
                .count();
            pixels += width * height;
        }
        Ok(Self {
            largest,
            mean: sum / count as f64,
            labels: same as f64 / pixels as f64,
        })
    }
}

/// The most probable region of a pixel.
fn label(map: &RegionMap, pixel: usize) -> Option<usize> {
    let pixels = map.width * map.height;
    let at = |region: usize| map.probabilities[region * pixels + pixel];
    (0..map.regions).max_by(|&a, &b| at(a).total_cmp(&at(b)))
}

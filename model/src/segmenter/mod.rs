//! Segmentation of real images (Section 3.4): noise the image, pass it once, read the masks.

mod engine;
mod error;
mod options;

use std::sync::Arc;

use factorseg_kernels::{KernelError, Noising, SegmentationPass};
use factorseg_refine::ColorModel;
pub use factorseg_refine::{InputImage, RegionMap};

pub use engine::{Engine, EngineInfo, Sizing};
pub use error::SegmentError;
pub use options::{DEFAULT_TIMESTEP, SegmenterOptions};

use crate::checkpoint::{Checkpoint, CheckpointSource};
use crate::config::ModelConfig;
use crate::device::{Device, DeviceSpec};
use crate::load::{LoadOptions, Precision};
use crate::noise::standard_normal;
use crate::schedule::NoiseSchedule;

/// The [`Engine`] that runs a checkpoint.
pub struct Segmenter {
    pass: Box<dyn SegmentationPass>,
    config: ModelConfig,
    schedule: NoiseSchedule,
    options: SegmenterOptions,
    info: EngineInfo,
    /// The noise for images of the size seen last.
    noising: Option<Arc<Noising>>,
    colors: ColorModel,
}

impl Segmenter {
    /// Loads the part of a checkpoint that segments.
    ///
    /// # Errors
    /// If the checkpoint or the device cannot be used, or an option is outside its range.
    pub fn load(
        source: &CheckpointSource,
        how: impl Into<LoadOptions>,
        options: &SegmenterOptions,
    ) -> Result<Self, SegmentError> {
        let how = how.into();
        let mut checkpoint = Checkpoint::open(source)?;
        options.check(checkpoint.config())?;
        let device = how.device.resolve()?;
        if how.device != DeviceSpec::Auto || device == Device::Cpu {
            return Self::load_on(&mut checkpoint, device, how, options);
        }
        // A GPU that is there may still be full, too old, or without the CUDA headers: one pass tells.
        let works = Self::load_on(&mut checkpoint, device, how, options).and_then(Self::tried);
        or_else_on_the_cpu(works, || Self::load_on(&mut checkpoint, Device::Cpu, how, options))
    }

    fn load_on(
        checkpoint: &mut Checkpoint,
        device: Device,
        how: LoadOptions,
        options: &SegmenterOptions,
    ) -> Result<Self, SegmentError> {
        if device == Device::Cpu && !how.precision.runs_on_this_processor() {
            return Err(SegmentError::Precision {
                precision: how.precision,
                device: device.to_string(),
            });
        }
        let weights = checkpoint.load_segmentation()?;
        let config = checkpoint.config().clone();
        let pass = device
            .segmentation(&config, &weights, how)
            .map_err(|reason| failed(device.to_string(), reason))?;
        let mut segmenter = Self {
            pass,
            schedule: NoiseSchedule::new(&config.schedule),
            options: options.clone(),
            info: EngineInfo {
                model: checkpoint.file().to_owned(),
                regions: config.regions,
                timesteps: config.schedule.timesteps,
                classes: checkpoint.info().classes.clone(),
                foreground_regions: checkpoint.info().foreground_regions.clone(),
                device: device.to_string(),
                instructions: device.instructions(),
                precision: match how.precision {
                    Precision::Auto => Precision::F32,
                    chosen => chosen,
                },
                refused: None,
            },
            config,
            noising: None,
            colors: ColorModel::default(),
        };
        segmenter.condition(options)?;
        Ok(segmenter)
    }

    /// The segmenter, if it segments.
    fn tried(mut self) -> Result<Self, SegmentError> {
        let side = self.config.image_size;
        self.segment(&[InputImage {
            width: side,
            height: side,
            data: vec![0.0; 3 * side * side],
        }])?;
        Ok(self)
    }

    fn condition(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
        let class = options.class.unwrap_or(self.config.no_class());
        let conditioned = self.pass.condition(options.timestep, class);
        conditioned.map_err(|reason| failed(self.info.device.clone(), reason))
    }

    /// The network's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The options in force.
    pub fn options(&self) -> &SegmenterOptions {
        &self.options
    }

    fn own_sizing(&self) -> Sizing {
        Sizing {
            side: self.config.image_size,
            stride: self.config.stride(),
        }
    }

    /// The noise for images of one size. It depends on seed and size alone.
    fn noising(&mut self, size: (usize, usize)) -> Arc<Noising> {
        if let Some(noising) = self.noising.as_ref().filter(|noising| noising.size == size) {
            return noising.clone();
        }
        let SegmenterOptions {
            timestep,
            seed,
            samples,
            ..
        } = self.options;
        let (picture_weight, noise_weight) = self.schedule.mix(timestep);
        let noising = Noising {
            size,
            samples,
            noise: standard_normal(seed, samples * 3 * size.0 * size.1),
            picture_weight: picture_weight as f32,
            noise_weight: noise_weight as f32,
        };
        self.noising.insert(Arc::new(noising)).clone()
    }

    fn segment_one_size(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let InputImage { width, height, .. } = images[0];
        let regions = self.config.regions;
        let noising = self.noising((width, height));
        let pictures: Vec<f32> = images.iter().flat_map(|image| image.data.iter().copied()).collect();
        let masks = self.pass.masks(&pictures, &noising);
        let masks = masks.map_err(|reason| failed(self.info.device.clone(), reason))?;
        if !masks.iter().all(|value| value.is_finite()) {
            return Err(SegmentError::NotFinite {
                model: self.info.model.clone(),
            });
        }
        let mut maps: Vec<RegionMap> = masks
            .chunks_exact(regions * height * width)
            .map(|probabilities| RegionMap {
                regions,
                width,
                height,
                probabilities: probabilities.to_vec(),
            })
            .collect();
        if self.options.color_model {
            self.colors.fill_holes = self.options.fill_holes;
            let foreground = self.info.is_foreground();
            for (image, map) in images.iter().zip(&mut maps) {
                self.colors.refine(image, map, &foreground);
            }
        }
        Ok(maps)
    }
}

impl Engine for Segmenter {
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize) {
        self.own_sizing().input_size(frame_width, frame_height)
    }

    fn sizing(&self) -> Option<Sizing> {
        Some(self.own_sizing())
    }

    fn unjudged(&self) -> u64 {
        self.colors.unjudged()
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let stride = self.config.stride();
        for image in images {
            let InputImage {
                width,
                height,
                ref data,
            } = *image;
            let fits = width > 0
                && height > 0
                && width % stride == 0
                && height % stride == 0
                && data.len() == 3 * width * height;
            if !fits {
                return Err(SegmentError::Image {
                    width,
                    height,
                    values: data.len(),
                    stride,
                });
            }
        }
        let mut maps = Vec::with_capacity(images.len());
        for run in images.chunk_by(|a, b| (a.width, a.height) == (b.width, b.height)) {
            maps.extend(self.segment_one_size(run)?);
        }
        Ok(maps)
    }

    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
        options.check(&self.config)?;
        self.condition(options)?;
        self.options = options.clone();
        self.noising = None;
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

fn failed(device: String, reason: KernelError) -> SegmentError {
    SegmentError::Failed {
        device,
        reason: reason.to_string(),
    }
}

/// A segmenter on the preferred device, or else one on the CPU, which knows why. What is wrong with the checkpoint or
/// the options is wrong on every device.
fn or_else_on_the_cpu(
    preferred: Result<Segmenter, SegmentError>,
    on_the_cpu: impl FnOnce() -> Result<Segmenter, SegmentError>,
) -> Result<Segmenter, SegmentError> {
    match preferred {
        Err(refused @ SegmentError::Failed { .. }) => {
            let mut segmenter = on_the_cpu()?;
            segmenter.info.refused = Some(refused.to_string());
            Ok(segmenter)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

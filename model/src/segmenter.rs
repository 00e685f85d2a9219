//! Segmentation of real images (Section 3.4): noise the image, pass it once, read the masks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn::DispatchDevice;
use factorseg_refine::ColorModel;
pub use factorseg_refine::{InputImage, RegionMap};

use crate::checkpoint::{Checkpoint, CheckpointError, CheckpointSource};
use crate::config::ModelConfig;
use crate::device::{DeviceError, DeviceSpec, device_name};
use crate::draws::Draws;
use crate::labels::ClassLabel;
use crate::load::{LoadOptions, Precision};
use crate::pass::{BurnPass, CpuPass, CpuPassError, MaskPass};
use crate::schedule::NoiseSchedule;

/// The timestep that the paper segments at (Section 4.1).
pub const DEFAULT_TIMESTEP: usize = 30;

/// No frame is resampled to a longer side than this many times the training side.
const MAXIMUM_ASPECT: usize = 4;

/// How images are segmented. May change between calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmenterOptions {
    /// Index of the class to condition on; `None` for no class.
    pub class: Option<usize>,
    /// Noise level, the paper's `t` in `1..=T`.
    pub timestep: usize,
    /// Seed of the noise. The noise depends on nothing else, so a still video has still masks.
    pub seed: u64,
    /// Noise draws that are averaged; the cost is proportional to it.
    pub samples: usize,
    /// Whether pixels are judged again by the colours of the picture's regions ([`ColorModel::refine`]).
    pub color_model: bool,
}

impl Default for SegmenterOptions {
    fn default() -> Self {
        Self {
            class: None,
            timestep: DEFAULT_TIMESTEP,
            seed: 0,
            samples: 1,
            color_model: true,
        }
    }
}

/// What an [`Engine`] runs and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineInfo {
    /// Name of the checkpoint.
    pub model: String,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// What it computes in; never [`Precision::Auto`] where a network is loaded.
    pub precision: Precision,
    /// Number of regions, `K`.
    pub regions: usize,
    /// Number of timesteps, `T`.
    pub timesteps: usize,
    /// The classes, in the order of their indices; empty for an unconditional network.
    pub classes: Vec<ClassLabel>,
    /// Regions that are the object, where the checkpoint says so; else empty.
    pub foreground_regions: Vec<usize>,
    /// Why a device that [`DeviceSpec::Auto`] prefers is not used, where it was tried and failed.
    pub refused: Option<String>,
}

/// Images that cannot be segmented.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device does not compute in this precision.
    #[error(
        "precision {precision} is available on CUDA and on processors with AVX512-BF16, and the device is {device}, without it; use precision auto or f32"
    )]
    Precision {
        /// That was asked for.
        precision: Precision,
        /// Name of the device.
        device: String,
    },
    /// An option is outside its range.
    #[error("option `{option}` is {value}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// An image does not fit the network.
    #[error(
        "an image of {width}x{height} with {values} values, expected sides that are multiples of {stride} and 3 values a pixel"
    )]
    Image {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Length of its data.
        values: usize,
        /// What sides must be multiples of.
        stride: usize,
    },
    /// The network returned values that are no probabilities.
    #[error("{model} returned values that are not finite; its weights are damaged or overflow")]
    NotFinite {
        /// Name of the checkpoint.
        model: String,
    },
    /// The device failed.
    #[error("the network failed on {device}: {reason}")]
    Failed {
        /// Name of the device.
        device: String,
        /// What it said.
        reason: String,
    },
}

/// Images in, region masks out: the seam between whoever has frames and the network.
pub trait Engine: Send {
    /// The size, `(width, height)`, that a frame is resampled to before [`Engine::segment`].
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize);

    /// Segments images; one result for each, of the image's size.
    ///
    /// # Errors
    /// If an image does not fit, or the network or its device fails.
    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError>;

    /// Changes the options for the calls that follow; they stay as they were on an error.
    ///
    /// # Errors
    /// If an option is outside its range.
    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError>;

    /// What runs, and where.
    fn info(&self) -> &EngineInfo;
}

/// The [`Engine`] that runs a checkpoint.
pub struct Segmenter {
    pass: Box<dyn MaskPass>,
    config: ModelConfig,
    schedule: NoiseSchedule,
    options: SegmenterOptions,
    info: EngineInfo,
    /// The noise for images of the size seen last.
    draws: Option<Arc<Draws>>,
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
        let config = checkpoint.config().clone();
        check_options(&config, options)?;
        let device = how.device.resolve()?;
        if how.device != DeviceSpec::Auto || is_cpu(&device) {
            return Self::load_on(&mut checkpoint, &device, how, options);
        }
        // A GPU that is there may still be full, too old, or without the CUDA headers: one pass tells.
        let works = Self::load_on(&mut checkpoint, &device, how, options).and_then(Self::tried);
        or_else_on_the_cpu(works, || {
            Self::load_on(&mut checkpoint, &DeviceSpec::Cpu.resolve()?, how, options)
        })
    }

    fn load_on(
        checkpoint: &mut Checkpoint,
        device: &DispatchDevice,
        how: LoadOptions,
        options: &SegmenterOptions,
    ) -> Result<Self, SegmentError> {
        let config = checkpoint.config().clone();
        let name = device_name(device);
        let pass = catch_device_panic(&name, || load_pass(checkpoint, device, how))??;
        let info = EngineInfo {
            model: checkpoint.file().to_owned(),
            regions: config.regions,
            timesteps: config.schedule.timesteps,
            classes: checkpoint.info().classes.clone(),
            foreground_regions: checkpoint.info().foreground_regions.clone(),
            device: name,
            precision: match how.precision {
                Precision::Auto => Precision::F32,
                chosen => chosen,
            },
            refused: None,
        };
        let mut segmenter = Self {
            pass,
            schedule: NoiseSchedule::new(&config.schedule),
            config,
            options: options.clone(),
            info,
            draws: None,
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
        let conditioned = catch_device_panic(&self.info.device, || self.pass.condition(options.timestep, class))?;
        conditioned.map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: String) -> SegmentError {
        SegmentError::Failed {
            device: self.info.device.clone(),
            reason,
        }
    }

    /// The network's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The options in force.
    pub fn options(&self) -> &SegmenterOptions {
        &self.options
    }

    /// The noise for images of one size.
    fn draws(&mut self, size: (usize, usize)) -> Arc<Draws> {
        match &self.draws {
            Some(draws) if draws.size == size => draws.clone(),
            _ => {
                let draws = Arc::new(Draws::new(&self.options, &self.schedule, size));
                self.draws.insert(draws).clone()
            }
        }
    }

    fn segment_one_size(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let InputImage { width, height, .. } = images[0];
        let regions = self.config.regions;
        let draws = self.draws((width, height));
        let masks = catch_device_panic(&self.info.device, || self.pass.masks(images, &draws))?
            .map_err(|reason| self.failed(reason))?;
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
            for (image, map) in images.iter().zip(&mut maps) {
                self.colors.refine(image, map);
            }
        }
        Ok(maps)
    }
}

impl Engine for Segmenter {
    /// The shorter side becomes the training side; the aspect ratio is kept, up to 4:1.
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize) {
        let side = self.config.image_size;
        let stride = self.config.stride();
        let shorter = frame_width.min(frame_height).max(1);
        let scaled = |length: usize| {
            let exact = (length * side) as f64 / shorter as f64;
            let rounded = (exact / stride as f64).round() as usize * stride;
            rounded.clamp(side, MAXIMUM_ASPECT * side)
        };
        (scaled(frame_width), scaled(frame_height))
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
        check_options(&self.config, options)?;
        self.condition(options)?;
        self.options = options.clone();
        self.draws = None;
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

fn check_options(config: &ModelConfig, options: &SegmenterOptions) -> Result<(), SegmentError> {
    let error = |option, value: usize, expected: String| {
        Err(SegmentError::Option {
            option,
            value: value.to_string(),
            expected,
        })
    };
    let timesteps = config.schedule.timesteps;
    if !(1..=timesteps).contains(&options.timestep) {
        return error("timestep", options.timestep, format!("1 to {timesteps}"));
    }
    if !(1..=64).contains(&options.samples) {
        return error("samples", options.samples, "1 to 64".into());
    }
    match options.class {
        Some(class) if class >= config.classes => {
            let expected = match config.classes {
                0 => "no class: the checkpoint is unconditional".into(),
                classes => format!("0 to {}", classes - 1),
            };
            error("class", class, expected)
        }
        _ => Ok(()),
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

fn is_cpu(device: &DispatchDevice) -> bool {
    matches!(device, DispatchDevice::Flex(_))
}

fn load_pass(
    checkpoint: &mut Checkpoint,
    device: &DispatchDevice,
    how: LoadOptions,
) -> Result<Box<dyn MaskPass>, SegmentError> {
    if !is_cpu(device) {
        return Ok(Box::new(BurnPass::load(checkpoint, device, how.precision)?));
    }
    if !how.precision.runs_on_this_processor() {
        return Err(SegmentError::Precision {
            precision: how.precision,
            device: device_name(device),
        });
    }
    match CpuPass::load(checkpoint, how.threads, how.precision) {
        Ok(pass) => Ok(Box::new(pass)),
        Err(CpuPassError::Checkpoint(error)) => Err(error.into()),
        Err(CpuPassError::Kernel(error)) => Err(SegmentError::Failed {
            device: device_name(device),
            reason: error.to_string(),
        }),
    }
}

/// burn reports a failing device (out of memory, lost) by panicking: that ends here.
fn catch_device_panic<T>(device: &str, run: impl FnOnce() -> T) -> Result<T, SegmentError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown reason")
            .to_owned();
        SegmentError::Failed {
            device: device.to_owned(),
            reason,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a GPU does, done by burn on the CPU: noise and mean on the device.
    #[test]
    fn burn_and_the_kernels_segment_alike() {
        let source = CheckpointSource::Embedded;
        let mut options = SegmenterOptions {
            samples: 3,
            color_model: false,
            ..SegmenterOptions::default()
        };
        let mut kernels = Segmenter::load(&source, DeviceSpec::Cpu, &options).unwrap();
        let mut burn = Segmenter::load(&source, DeviceSpec::Cpu, &options).unwrap();
        let device = DeviceSpec::Cpu.resolve().unwrap();
        let mut checkpoint = Checkpoint::open(&source).unwrap();
        burn.pass = Box::new(BurnPass::load(&mut checkpoint, &device, Precision::F32).unwrap());
        burn.condition(&options).unwrap();
        let side = kernels.config.image_size;
        let image = |width: usize, phase: f32| InputImage {
            width,
            height: side,
            data: (0..3 * side * width)
                .map(|i| (i as f32 * 0.013 + phase).sin())
                .collect(),
        };
        let images = [image(side, 0.0), image(side, 1.0), image(2 * side, 2.0)];
        let mut before = Vec::new();
        // Another seed, level or number of draws is another noise on the device, too.
        for (seed, timestep, samples) in [(0, 30, 3), (1, 30, 3), (1, 90, 3), (1, 90, 1)] {
            (options.seed, options.timestep, options.samples) = (seed, timestep, samples);
            for segmenter in [&mut kernels, &mut burn] {
                segmenter.set_options(&options).unwrap();
            }
            let (expected, found) = (kernels.segment(&images).unwrap(), burn.segment(&images).unwrap());
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!((expected.width, expected.height), (found.width, found.height));
                assert_eq!(expected.probabilities.len(), found.probabilities.len());
                for (a, b) in expected.probabilities.iter().zip(&found.probabilities) {
                    assert!((a - b).abs() < 1e-4, "{options:?}: {a} {b}");
                }
            }
            assert!(found != before);
            before = found;
        }
        // A call with the same noise uses what is on the device.
        assert_eq!(burn.segment(&images).unwrap(), before);
    }

    #[test]
    fn a_preferred_device_that_fails_gives_way_to_the_cpu_and_says_why() {
        let load = || {
            Segmenter::load(
                &CheckpointSource::Embedded,
                DeviceSpec::Cpu,
                &SegmenterOptions::default(),
            )
        };
        let full = Err(SegmentError::Failed {
            device: "cuda:0".into(),
            reason: "out of memory".into(),
        });
        let segmenter = or_else_on_the_cpu(full, load).unwrap();
        assert_eq!(segmenter.info().device, "cpu");
        let refused = segmenter.info().refused.as_deref().unwrap();
        assert!(
            refused.contains("cuda:0") && refused.contains("out of memory"),
            "{refused}"
        );
        // One that works stays, and what is wrong everywhere is not tried again.
        let working = or_else_on_the_cpu(load().and_then(Segmenter::tried), || panic!("not needed")).unwrap();
        assert_eq!(working.info().refused, None);
        let wrong = SegmentError::Option {
            option: "class",
            value: "7".into(),
            expected: "none".into(),
        };
        assert!(or_else_on_the_cpu(Err(wrong), || panic!("of no use")).is_err());
    }
}

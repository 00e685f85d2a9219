//! Factorized diffusion models for unsupervised segmentation: what a checkpoint is, and what it says of a picture.
//!
//! The crate follows *Factorized Diffusion Architectures for Unsupervised Image Generation and Segmentation* (Yuan and
//! Maire): a denoising network that must split the image into `K` regions, whose region masks are a segmentation
//! learned with no labels. The network's arithmetic is elsewhere: `factorseg-kernels` has it for CPUs, `factorseg-network` in
//! burn for GPUs (feature `cuda`).
//!
//! | module | paper |
//! |---|---|
//! | [`config`] | sizes, Section 4 |
//! | [`schedule`], [`sampler`] | Eq. 1, 9, 10, Algorithm 2 |
//! | [`segmenter`] | segmentation of real images, Section 3.4 |
//! | [`checkpoint`], [`labels`], [`device`], [`load`] | files, class names, devices, how to load |

pub mod checkpoint;
pub mod config;
pub mod device;
pub mod labels;
pub mod load;
pub mod noise;
pub mod sampler;
pub mod schedule;
pub mod segmenter;
pub mod softmax;

pub use checkpoint::{CheckpointError, CheckpointInfo, CheckpointSource, WeightKind};
pub use config::{ConfigError, ModelConfig, Preset, ScheduleConfig};
pub use device::{Device, DeviceError, DeviceSpec};
pub use labels::{ClassError, ClassLabel, find_class};
pub use load::{LoadOptions, Precision, PrecisionError};
pub use schedule::NoiseSchedule;
pub use segmenter::{
    DEFAULT_TIMESTEP, Engine, EngineInfo, InputImage, RegionMap, SegmentError, Segmenter, SegmenterOptions, Sizing,
};

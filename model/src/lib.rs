//! Factorized diffusion models for unsupervised segmentation.
//!
//! The crate follows *Factorized Diffusion Architectures for Unsupervised Image Generation and Segmentation* (Yuan and
//! Maire): a denoising network that must split the image into `K` regions, whose region masks are a segmentation
//! learned with no labels. Its files follow the paper's Figure 2:
//!
//! | module | paper |
//! |---|---|
//! | [`config`] | sizes, Section 4 |
//! | [`encoder`], [`middle`], [`upstack`] | Eq. 2, 3, and 4 with 6 |
//! | [`factorized`] | the whole, Eq. 2 to 7 |
//! | [`schedule`], [`sampler`] | Eq. 1, 9, 10, Algorithm 2 |
//! | [`segmenter`] | segmentation of real images, Section 3.4 |
//! | [`checkpoint`], [`labels`], [`device`], [`load`] | files, class names, devices, how to load |

pub mod blocks;
pub mod checkpoint;
pub mod config;
pub mod device;
mod draws;
pub mod embedding;
pub mod encoder;
pub mod factorized;
pub mod labels;
pub mod load;
pub mod middle;
pub mod noise;
pub mod parameters;
mod pass;
pub mod sampler;
pub mod schedule;
pub mod segmenter;
mod tuning;
pub mod upstack;

pub use checkpoint::{CheckpointError, CheckpointInfo, CheckpointSource, WeightKind};
pub use config::{ConfigError, ModelConfig, Preset, ScheduleConfig};
pub use device::{DeviceError, DeviceSpec, Runtime};
pub use factorized::{Factorized, Features, MaskNetwork, Prediction};
pub use labels::{ClassError, ClassLabel, find_class};
pub use load::{LoadOptions, Precision, PrecisionError};
pub use schedule::NoiseSchedule;
pub use segmenter::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, Segmenter, SegmenterOptions};

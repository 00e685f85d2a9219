//! K-means over what the decoder of a denoiser sees in a picture: DatasetDDPM (Baranchuk et al., 2022) without labels, which
//! the paper's Tables 3 to 5 compare with.

use anyhow::{Result, ensure};
use factorseg_kernels::{Arithmetic, InstructionSet, KernelError, Masks, Threads, TrainingNetwork, TrainingOptions};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::noise::standard_normal;
use factorseg_model::{
    CheckpointSource, Engine, EngineInfo, InputImage, ModelConfig, NoiseSchedule, RegionMap, SegmentError,
    SegmenterOptions, Sizing,
};
use image::RgbImage;
use rand::seq::index::sample;

use super::k_means::{k_means, nearest};
use super::segment::network_input;
use crate::data::order::{Stream, random};

/// Pixels of each picture, and of all, that centres are fitted to.
const PIXELS: usize = 200;
const MOST_PIXELS: usize = 40_000;

/// An engine whose regions are the clusters of the decoder's features.
pub struct Clusters {
    config: ModelConfig,
    weights: Vec<f32>,
    /// Of the size seen last.
    network: Option<TrainingNetwork>,
    threads: Threads,
    options: SegmenterOptions,
    blocks: Vec<usize>,
    info: EngineInfo,
    /// Vectors of features, one after another.
    centres: Vec<Vec<f32>>,
}

impl Clusters {
    /// Clusters of a checkpoint's features in `pictures`, in its decoder's `blocks`, counted from 1 at the coarsest (empty: the middle
    /// half), under the noise and class of `options`.
    ///
    /// # Errors
    /// If the checkpoint's decoder was not trained or has no such block, there are fewer pixels than clusters, or a picture cannot
    /// be read.
    pub fn fit(
        source: &CheckpointSource,
        options: &SegmenterOptions,
        regions: usize,
        blocks: &[usize],
        threads: Threads,
        pictures: impl Iterator<Item = Result<RgbImage>>,
    ) -> Result<Self> {
        let mut checkpoint = Checkpoint::open(source)?;
        ensure!(
            checkpoint.info().decoder.is_some(),
            "the decoder of {source} was not trained, so there is nothing in its features; K-means takes those of a denoiser"
        );
        let config = checkpoint.config().clone();
        let all = config.levels() * (config.residual_blocks + 1);
        let blocks = match blocks {
            [] => (all / 4 + 1..=(3 * all).div_ceil(4)).collect(),
            blocks => blocks.to_vec(),
        };
        ensure!(
            blocks.iter().all(|block| (1..=all).contains(block)),
            "blocks are {blocks:?}; the decoder has 1 to {all}"
        );
        let mut clusters = Self {
            weights: checkpoint.load()?,
            network: None,
            threads,
            options: options.clone(),
            info: EngineInfo {
                model: checkpoint.file().to_owned(),
                device: "cpu".to_owned(),
                regions,
                timesteps: config.schedule.timesteps,
                classes: checkpoint.info().classes.clone(),
                ..EngineInfo::default()
            },
            blocks,
            config,
            centres: Vec::new(),
        };
        let (mut vectors, mut chance) = (Vec::new(), random(options.seed, Stream::Sample, 0));
        for picture in pictures {
            let picture = picture?;
            let size = clusters.input_size(picture.width() as usize, picture.height() as usize);
            let seen = clusters.features(&network_input(&picture, size))?;
            let chosen = sample(&mut chance, seen.len(), PIXELS.min(seen.len()));
            vectors.extend(chosen.into_iter().map(|pixel| seen[pixel].clone()));
            if vectors.len() >= MOST_PIXELS {
                break;
            }
        }
        ensure!(
            vectors.len() >= regions && regions > 0,
            "{} pixels for {regions} clusters",
            vectors.len()
        );
        clusters.centres = k_means(&vectors, regions, &mut chance);
        Ok(clusters)
    }

    /// The features of every pixel.
    fn features(&mut self, picture: &InputImage) -> Result<Vec<Vec<f32>>, KernelError> {
        let (width, height) = (picture.width, picture.height);
        let fits = |network: &TrainingNetwork| (network.options().width, network.options().height) == (width, height);
        let mut network = match self.network.take().filter(fits) {
            Some(network) => network,
            None => {
                let options = TrainingOptions {
                    height,
                    width,
                    batch: 1,
                    threads: self.threads.clone(),
                    instructions: InstructionSet::detect(),
                    arithmetic: Arithmetic::F32,
                };
                let mut network = TrainingNetwork::new(&self.config.architecture(), options)?;
                network.parameters_mut().copy_from_slice(&self.weights);
                network
            }
        };
        let (image_part, noise_part) = NoiseSchedule::new(&self.config.schedule).mix(self.options.timestep);
        let noise = standard_normal(self.options.seed, picture.data.len());
        let both = picture.data.iter().zip(noise);
        let noised: Vec<f32> = both
            .map(|(x, e)| image_part as f32 * x + noise_part as f32 * e)
            .collect();
        let class = [self.options.class.unwrap_or(self.config.no_class()) as i32];
        let class = (self.config.classes > 0).then_some(&class[..]);
        network.encode(&noised, &[self.options.timestep as f32], class)?;
        network.decode(Masks::Uniform)?;
        let mut features = vec![Vec::new(); width * height];
        for block in &self.blocks {
            let (probabilities, [regions, height_here, width_here]) = network.decoder_block(block - 1, 0);
            let planes = RegionMap {
                regions,
                width: width_here,
                height: height_here,
                probabilities,
            };
            for plane in planes.resized(width, height).probabilities.chunks_exact(width * height) {
                features.iter_mut().zip(plane).for_each(|(to, value)| to.push(*value));
            }
        }
        self.network = Some(network);
        Ok(features)
    }
}

impl Engine for Clusters {
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize) {
        let sizing = Sizing {
            side: self.config.image_size,
            stride: self.config.stride(),
        };
        sizing.input_size(frame_width, frame_height)
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let failed = |reason: KernelError| SegmentError::Failed {
            device: "cpu".to_owned(),
            reason: reason.to_string(),
        };
        let mut maps = Vec::with_capacity(images.len());
        for image in images {
            let features = self.features(image).map_err(failed)?;
            let cells = features.len();
            let mut probabilities = vec![0.0; self.centres.len() * cells];
            for (cell, vector) in features.iter().enumerate() {
                probabilities[nearest(&self.centres, vector).0 * cells + cell] = 1.0;
            }
            maps.push(RegionMap {
                regions: self.centres.len(),
                width: image.width,
                height: image.height,
                probabilities,
            });
        }
        Ok(maps)
    }

    /// Takes over the class; the centres belong to the other options.
    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
        self.options.class = options.class;
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

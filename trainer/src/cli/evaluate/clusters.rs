//! `--clusters`: regions by K-means over a denoiser's features.

use anyhow::Result;
use clap::Args;
use factorseg_kernels::Threads;
use factorseg_model::{CheckpointSource, SegmenterOptions};
use image::RgbImage;

use crate::cli::arguments::count;
use crate::cli::segmenter::SegmenterArguments;
use crate::evaluate::assignment::MOST_REGIONS;
use crate::evaluate::clusters::Clusters;
use crate::evaluate::items::Items;

#[derive(Debug, Args)]
pub struct ClusterArguments {
    /// Take K clusters of the decoder's features for regions (K-means, fitted on the pictures that are not scored) in place of a mask
    /// generator's: DatasetDDPM without labels
    #[arg(long, value_name = "K", value_parser = count(2, MOST_REGIONS))]
    pub clusters: Option<usize>,
    /// Blocks of the decoder whose features they are, counted from the coarsest [default: the middle half]
    #[arg(long, value_name = "N,..", value_delimiter = ',', requires = "clusters")]
    blocks: Vec<usize>,
}

impl ClusterArguments {
    /// The clusters, if they are asked for, of a data set's pictures under `options`.
    pub fn fit(
        &self,
        segmenter: &SegmenterArguments,
        options: &SegmenterOptions,
        items: &Items,
    ) -> Result<Option<Clusters>> {
        let Some(regions) = self.clusters else {
            return Ok(None);
        };
        let fitted = (0..items.all.len()).filter(|index| items.all[*index].fit);
        let pictures = fitted.map(|index| Ok(items.read(index)?.0));
        let threads = Threads::new(segmenter.threads())?;
        Clusters::fit(&segmenter.source(), options, regions, &self.blocks, threads, pictures).map(Some)
    }
}

/// `regions` clusters of the features of `ddpm` in generated pictures, every fifth of which is fitted on.
pub fn of_generated(
    ddpm: &CheckpointSource,
    segmenter: &SegmenterArguments,
    regions: usize,
    pictures: impl Iterator<Item = Result<RgbImage>>,
) -> Result<Clusters> {
    let threads = Threads::new(segmenter.threads())?;
    Clusters::fit(ddpm, &segmenter.options(), regions, &[], threads, pictures.step_by(5))
}

//! `factorseg evaluate generation`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use factorseg_model::{CheckpointSource, Engine};
use image::RgbImage;
use rayon::prelude::*;
use serde_json::json;

use super::clusters::of_generated;
use crate::cli::segment::is_result;
use crate::cli::segmenter::{PassArguments, SegmenterArguments};
use crate::data::decode::{centre_square, prepare};
use crate::data::folder::ImageFolder;
use crate::data::labels::{LabelMap, Stored};
use crate::evaluate::assignment::labels;
use crate::evaluate::clusters::Clusters;
use crate::evaluate::fid::Moments;
use crate::evaluate::files::open;
use crate::evaluate::inception::{FEATURES, Inception};
use crate::evaluate::parts::{Tally, scores};
use crate::evaluate::predictions::predict;
use crate::evaluate::segment::{Passes, segment};

/// Pictures whose features are computed side by side.
const SIDE_BY_SIDE: usize = 32;
/// Regions of a mask, at most.
const MOST_REGIONS: u8 = 64;
/// Regions of a generated picture, beside it.
const MASKS: [&str; 2] = ["regions.png", "ids.png"];

/// Quality of generated pictures (FID), and whether their masks are those of a segmenter (Table 5 of the paper).
///
/// GENERATED is a folder of pictures, with NAME.regions.png or NAME.ids.png beside them for `--segmenter-masks`. FID needs the weights of
/// pytorch-fid; `--real` pictures are cut and resampled as for training, to the size of the generated ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg evaluate generation drawn --real photos --inception pt_inception-2015-12-05-6726825d.pth
  factorseg evaluate generation drawn --segmenter-masks --model supervised.safetensors")]
pub struct Generation {
    /// Folder of generated pictures
    generated: PathBuf,
    /// Folder of real pictures
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "inception",
        required_unless_present = "segmenter_masks"
    )]
    real: Option<PathBuf>,
    /// Weights of the features: pt_inception-2015-12-05-6726825d.pth
    #[arg(long, value_name = "FILE", requires = "real")]
    inception: Option<PathBuf>,
    /// Compare the generated masks with those that the segmenter (--model) finds in the generated pictures
    #[arg(long)]
    segmenter_masks: bool,
    /// Pictures of a denoiser without masks: take clusters of this checkpoint's features in them for the generated masks, as many as the
    /// segmenter has regions
    #[arg(long, value_name = "CHECKPOINT", requires = "segmenter_masks")]
    clusters_of: Option<PathBuf>,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Generation {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let generated = pictures(&self.generated)?;
        let mut line = json!({ "generated": generated.len() });
        if let (Some(real), Some(weights)) = (&self.real, &self.inception) {
            let (network, real) = (Inception::open(weights)?, pictures(real)?);
            let side = open(&generated[0])?.height() as usize;
            let of_generated = moments(&network, &generated, open)?;
            let of_real = moments(&network, &real, |path| {
                let cut = centre_square(prepare(open(path)?.into(), side));
                RgbImage::from_raw(side as u32, side as u32, cut.data.into_vec())
                    .context("a picture without its pixels")
            })?;
            let fewer = of_generated.count().min(of_real.count());
            if fewer <= FEATURES as u64 {
                eprintln!(
                    "{fewer} pictures: with no more than {FEATURES} the covariance is not known; papers take 50,000"
                );
            }
            let distance = of_generated.distance(&of_real);
            if !self.json {
                println!(
                    "FID {distance:.4} ({} generated, {} real; pytorch-fid's mode)",
                    generated.len(),
                    real.len()
                );
            }
            line["real"] = real.len().into();
            line["fid"] = distance.into();
            line["fid_mode"] = "pytorch-fid".into();
        }
        if self.segmenter_masks {
            self.compare(&generated, &mut line)?;
        }
        if self.json {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Accuracy and mean IoU of generated masks against those of the segmenter, one assignment fitted on every fifth picture.
    fn compare(&self, generated: &[PathBuf], line: &mut serde_json::Value) -> Result<()> {
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let regions = |path: &Path| -> Result<LabelMap> {
            let mut beside = MASKS.iter().map(|ending| path.with_extension(ending));
            let found = beside.find(|path| path.exists());
            let found = found.with_context(|| format!("no {} beside {}", MASKS.join(" or "), path.display()))?;
            LabelMap::open(&found).with_context(|| found.display().to_string())
        };
        let classes = engine.info().regions;
        let mut clusters = match &self.clusters_of {
            Some(path) => {
                let (ddpm, pictures) = (
                    CheckpointSource::from_path(path),
                    generated.iter().map(|path| open(path)),
                );
                Some(of_generated(&ddpm, &self.segmenter, classes, pictures)?)
            }
            None => None,
        };
        let images = generated.iter().map(|path| {
            let picture = open(path)?;
            let map = match &mut clusters {
                Some(clusters) => clustered(clusters, &picture)?,
                None => regions(path)?,
            };
            let alike = picture.width() as usize == map.width && picture.height() as usize == map.height;
            ensure!(alike, "{} and its regions differ in size", path.display());
            Ok((picture, map))
        });
        let (mut index, mut odd) = (0, 0);
        let (width, height) = open(&generated[0])?.dimensions();
        let pixels = width as usize * height as usize;
        let [mut fit, mut test] = [(); 2].map(|()| Tally::new(MOST_REGIONS.into(), classes, pixels));
        predict(&mut engine, &passes, images, |_, map, masks| {
            // Regions count from 1 in files.
            let drawn: Vec<u8> = map
                .values
                .iter()
                .map(|value| value.saturating_sub(1).min(255) as u8)
                .collect();
            let tally = if index % 5 == 0 { &mut fit } else { &mut test };
            if drawn.len() == pixels && drawn.iter().all(|region| *region < MOST_REGIONS) {
                tally.add(&labels(&masks.probabilities, classes), &drawn);
            } else {
                odd += 1;
            }
            index += 1;
        })?;
        ensure!(
            odd == 0,
            "{odd} pictures differ in size, or their masks hold no regions"
        );
        ensure!(index >= 2, "{index} pictures; at least two are needed, one to fit on");
        let (_, [model, same_map, one_class]) = scores(&fit, &test, classes);
        if !self.json {
            println!(
                "  {:44} {:>6} {:>6}",
                "generated masks against the segmenter's", "Acc", "mIoU"
            );
            for (what, scores) in [
                ("generated, one assignment", &model),
                ("best map that ignores the picture, fitted", &same_map),
                ("most frequent class", &one_class),
            ] {
                println!("  {what:44} {:6.3} {:6.3}", scores.accuracy, scores.mean_iou);
            }
        }
        line["consistency"] = json!({ "generated": model, "same_map": same_map, "one_class": one_class });
        Ok(())
    }
}

/// The clusters of a picture as regions, which count from 1.
fn clustered(clusters: &mut Clusters, picture: &RgbImage) -> Result<LabelMap> {
    let map = segment(clusters, &[picture], &Passes::single())?.remove(0);
    let found = labels(&map.probabilities, map.regions);
    Ok(LabelMap {
        width: map.width,
        height: map.height,
        values: found.into_iter().map(|region| u16::from(region) + 1).collect(),
        stored: Stored::Grey { bits: 8 },
    })
}

/// The pictures of a folder without masks and overlays.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let samples = ImageFolder::scan(folder)?.samples;
    let own = samples.iter().filter(|sample| !is_result(folder, &sample.path));
    let found: Vec<PathBuf> = own.map(|sample| folder.join(&sample.path)).collect();
    ensure!(!found.is_empty(), "no pictures in {}", folder.display());
    Ok(found)
}

/// Mean and covariance of the features of pictures.
fn moments(network: &Inception, paths: &[PathBuf], read: impl Fn(&Path) -> Result<RgbImage> + Sync) -> Result<Moments> {
    let mut moments = Moments::new(FEATURES);
    for some in paths.chunks(SIDE_BY_SIDE) {
        let features = some.par_iter().map(|path| network.features(&read(path)?));
        for features in features.collect::<Result<Vec<_>>>()? {
            moments.add(&features);
        }
        if moments.count() % 1024 == 0 {
            eprintln!("{} of {} pictures", moments.count(), paths.len());
        }
    }
    Ok(moments)
}

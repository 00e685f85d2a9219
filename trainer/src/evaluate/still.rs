//! Foreground scores of a model on still images with masks.
//!
//! A data set is a folder with `images/` and `masks/` that hold files of the same names. Every
//! fifth image (in the order of names) is used to fit: which regions are the object, and the
//! baselines. All scores are of the other images.

use std::path::Path;

use anyhow::{Result, bail};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::assignment::{Assignment, Foreground, labels};
use super::baselines::{FixedMask, TruthMask};
use super::common_grid::CommonGrid;
use super::metrics::{Scores, Truth};
use super::pairs::{Pair, read_pairs};
use super::picture_baselines::Ranks;
use super::segment::{Passes, segment};
use crate::training::monitor::MaskFigures;

/// One in so many images is fitted on.
pub const FIT_EVERY: usize = 5;

/// Images that are segmented at once.
const BATCH: usize = 8;

/// An image with its truth.
#[derive(Debug, Clone)]
pub struct LabelledImage {
    /// File name without ending.
    pub name: String,
    /// The picture.
    pub picture: RgbImage,
    /// `[height, width]` of the picture.
    pub truth: Vec<Truth>,
}

/// Reads a folder with `images/` and `masks/`. In a mask, 192 and more is foreground, less than 64
/// is background, and what lies between (drawn borders) is ignored.
///
/// # Errors
/// If a folder is missing or empty, an image has no mask, or the sizes differ.
pub fn read_data_set(folder: &Path, limit: Option<usize>) -> Result<Vec<LabelledImage>> {
    read_pairs(folder, "masks", limit)?
        .map(|pair| {
            let Pair { name, picture, map } = pair?;
            let truth = map
                .into_raw()
                .into_iter()
                .map(|value| match value {
                    192.. => Truth::Foreground,
                    0..64 => Truth::Background,
                    _ => Truth::Ignored,
                })
                .collect();
            Ok(LabelledImage { name, picture, truth })
        })
        .collect()
}

/// A line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What was scored.
    pub what: String,
    /// Its mean scores over the test images.
    pub scores: Scores,
}

/// Scores of a model on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StillReport {
    /// Name of the data set.
    pub data_set: String,
    /// Images that were fitted on.
    pub fitted_images: usize,
    /// Images that were scored.
    pub scored_images: usize,
    /// Where the assignment comes from: fitted, or named.
    pub assignment: String,
    /// Regions that are the object.
    pub foreground_regions: Vec<usize>,
    /// The model: one assignment of regions for the whole set. The headline.
    pub model: Scores,
    /// The model, the better of mask and complement for each image and score (IEM and ReDO).
    pub model_or_complement: Scores,
    /// The model, the best assignment for each image and score: an upper bound, not a result.
    pub oracle: Scores,
    /// The model's mean mask, the same for every image: what its masks score without content.
    pub model_mean_mask: Scores,
    /// Scores that need no model: three that never look at the picture, then three that do.
    pub baselines: Vec<Line>,
    /// Figures of the masks.
    pub masks: MaskFigures,
}

/// Measures `engine` on `images`; `progress` hears how many are done.
///
/// # Errors
/// If there are fewer than two images or the engine fails.
pub fn evaluate(
    engine: &mut dyn Engine,
    passes: &Passes,
    data_set: &str,
    images: &[LabelledImage],
    foreground: &Foreground,
    mut progress: impl FnMut(usize),
) -> Result<StillReport> {
    if images.len() < 2 {
        bail!(
            "{data_set} has {} images; at least two are needed, one to fit on",
            images.len()
        );
    }
    let regions = engine.info().regions;
    let mut predictions = Vec::with_capacity(images.len());
    let mut common = CommonGrid::new(regions);
    for batch in images.chunks(BATCH) {
        let pictures: Vec<RgbImage> = batch.iter().map(|image| image.picture.clone()).collect();
        for map in segment(engine, &pictures, passes)? {
            common.add(&map.probabilities, map.width, map.height);
            predictions.push(labels(&map.probabilities, regions));
        }
        progress(predictions.len());
    }
    let fitted = |index: usize| index % FIT_EVERY == 0;
    let (fit, test): (Vec<usize>, Vec<usize>) = (0..images.len()).partition(|index| fitted(*index));
    let scores = |assignment: Assignment, index: usize| {
        Scores::of(
            predictions[index].iter().map(|region| assignment.holds(*region)),
            &images[index].truth,
        )
    };
    let all = Assignment::all(regions);
    let chosen = foreground.assign(engine.info(), |assignment| {
        Scores::mean(fit.iter().map(|index| scores(assignment, *index))).mean_iou
    })?;
    let complement = |index: usize| {
        Scores::of(
            predictions[index].iter().map(|region| !chosen.holds(*region)),
            &images[index].truth,
        )
    };
    let truth = |index: &usize| {
        let image = &images[*index];
        TruthMask {
            width: image.picture.width() as usize,
            height: image.picture.height() as usize,
            pixels: &image.truth,
        }
    };
    let (fit_truths, test_truths): (Vec<_>, Vec<_>) =
        (fit.iter().map(truth).collect(), test.iter().map(truth).collect());
    let mean_labels = common.labels();
    let mean_masks: Vec<FixedMask> = all
        .iter()
        .map(|assignment| FixedMask::Grid(mean_labels.iter().map(|region| assignment.holds(*region)).collect()))
        .collect();
    let mean_mask = mean_masks
        .iter()
        .max_by(|a, b| {
            a.scores(&fit_truths)
                .mean_iou
                .total_cmp(&b.scores(&fit_truths).mean_iou)
        })
        .unwrap_or(&FixedMask::Everything);
    let goal = |scores: &Scores| scores.mean_iou;
    let baselines = [
        ("all foreground", FixedMask::Everything),
        ("centred box, fitted", FixedMask::best_box(&fit_truths, goal)),
        (
            "best mask that ignores the image, fitted",
            FixedMask::best_mean_mask(&fit_truths, goal),
        ),
    ];
    let ranked = |which: &[usize], rank: fn(&RgbImage) -> Ranks| -> Vec<Ranks> {
        which.iter().map(|index| rank(&images[*index].picture)).collect()
    };
    let share = Ranks::best_share(&ranked(&fit, Ranks::unlike_the_frame), &fit_truths, goal);
    let of_ranks = |what: &str, share: f64, rank: fn(&RgbImage) -> Ranks| Line {
        what: what.to_owned(),
        scores: Scores::mean(
            ranked(&test, rank)
                .iter()
                .zip(&test_truths)
                .map(|(ranks, truth)| Scores::of(ranks.mask(share, truth.width, truth.height), truth.pixels)),
        ),
    };
    let looking = [
        of_ranks("K-means on colour, K=2", 0.5, Ranks::k_means),
        of_ranks(
            "unlike the frame's colours, share fitted",
            share,
            Ranks::unlike_the_frame,
        ),
        of_ranks("blob in the middle, with the color model", 0.5, Ranks::blob),
    ];
    Ok(StillReport {
        data_set: data_set.to_owned(),
        fitted_images: fit.len(),
        scored_images: test.len(),
        assignment: foreground.to_string(),
        foreground_regions: chosen.regions(),
        model: Scores::mean(test.iter().map(|index| scores(chosen, *index))),
        model_or_complement: Scores::mean(test.iter().map(|index| scores(chosen, *index).best(complement(*index)))),
        oracle: Scores::mean(test.iter().map(|index| {
            all.iter()
                .map(|assignment| scores(*assignment, *index))
                .reduce(Scores::best)
                .unwrap_or_default()
        })),
        model_mean_mask: mean_mask.scores(&test_truths),
        baselines: baselines
            .map(|(what, mask)| Line {
                what: what.to_owned(),
                scores: mask.scores(&test_truths),
            })
            .into_iter()
            .chain(looking)
            .collect(),
        masks: common.figures(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::testing::ByColour;
    use image::{GrayImage, Luma, Rgb};

    fn data_set(count: u32) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for part in ["images", "masks"] {
            std::fs::create_dir(data.path().join(part)).unwrap();
        }
        for i in 0..count {
            // A green and red object that moves, on black.
            let inside = |x: u32, y: u32| x >= i && x < i + 6 && (4..12).contains(&y);
            RgbImage::from_fn(16, 16, |x, y| {
                Rgb(if !inside(x, y) {
                    [0; 3]
                } else if y < 8 {
                    [255, 0, 0]
                } else {
                    [0, 255, 0]
                })
            })
            .save(data.path().join(format!("images/{i:02}.png")))
            .unwrap();
            GrayImage::from_fn(16, 16, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
                .save(data.path().join(format!("masks/{i:02}.png")))
                .unwrap();
        }
        data
    }

    #[test]
    fn a_perfect_segmenter_scores_one_with_one_assignment() {
        let data = data_set(10);
        let images = read_data_set(data.path(), None).unwrap();
        let report = evaluate(
            &mut ByColour::new(),
            &Passes::single(),
            "moving",
            &images,
            &Foreground::Fit,
            |_| {},
        )
        .unwrap();
        assert_eq!((report.fitted_images, report.scored_images), (2, 8));
        // Red and green together, or the same boundary seen from the other side, never black.
        assert_eq!(report.foreground_regions, [0, 1]);
        let perfect = Scores {
            accuracy: 1.0,
            iou: 1.0,
            dice: 1.0,
            mean_iou: 1.0,
        };
        assert_eq!(
            (report.model, report.model_or_complement, report.oracle),
            (perfect, perfect, perfect)
        );
        assert!((report.baselines[0].scores.iou - 48.0 / 256.0).abs() < 1e-12);
        for line in &report.baselines[..3] {
            assert!(line.scores.mean_iou < 0.75, "{line:?}");
        }
        // The object is unlike the frame, which it does not touch in most images.
        assert!(report.baselines[4].scores.iou > 0.4, "{:?}", report.baselines[4]);
        assert!(report.model_mean_mask.mean_iou < 0.8);
        assert!(report.masks.positional.unwrap() < 0.8);
    }
}

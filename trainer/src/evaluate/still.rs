//! Foreground scores of a model on still images with masks.
//!
//! A data set is a folder with `images/` and `masks/` that hold files of the same names. Every
//! fifth image (in the order of names) is used to fit: which regions are the object, and the
//! baselines. All scores are of the other images.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Result, bail};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::assignment::{Assignment, Foreground};
use super::baselines::{FixedMask, Line, TruthMask};
use super::metrics::{Scores, Truth, highest};
use super::pairs::{Pair, read_pairs};
use super::picture_baselines::{K_MEANS, Ranks, UNLIKE_THE_FRAME};
use super::predictions::Predictions;
use super::segment::Passes;
use crate::training::watching::monitor::MaskFigures;

/// An image with its truth.
#[derive(Debug, Clone)]
pub struct LabelledImage {
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
            let Pair { picture, map } = pair?;
            let truth = map
                .into_raw()
                .into_iter()
                .map(|value| match value {
                    192.. => Truth::Foreground,
                    0..64 => Truth::Background,
                    _ => Truth::Ignored,
                })
                .collect();
            Ok(LabelledImage { picture, truth })
        })
        .collect()
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
    pub baselines: Vec<Line<Scores>>,
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
    progress: impl FnMut(usize),
) -> Result<StillReport> {
    if images.len() < 2 {
        bail!(
            "{data_set} has {} images; at least two are needed, one to fit on",
            images.len()
        );
    }
    let regions = engine.info().regions;
    let pictures: Vec<&RgbImage> = images.iter().map(|image| &image.picture).collect();
    let found = Predictions::of(engine, passes, &pictures, progress)?;
    let scores =
        |assignment: Assignment, index: usize| Scores::of(assignment.mask(&found.regions[index]), &images[index].truth);
    let all = Assignment::all(regions);
    let chosen = foreground.assign(engine.info(), |assignment| {
        Scores::mean(found.fit.iter().map(|index| scores(assignment, *index))).mean_iou
    })?;
    let truths = |which: &[usize]| -> Vec<TruthMask<'_>> {
        let truth = |index: &usize| TruthMask {
            width: images[*index].picture.width() as usize,
            height: images[*index].picture.height() as usize,
            pixels: Cow::from(&images[*index].truth),
        };
        which.iter().map(truth).collect()
    };
    let (fit_truths, test_truths) = (truths(&found.fit), truths(&found.test));
    let goal = |scores: &Scores| scores.mean_iou;
    let mean_regions = found.common.labels();
    let mean_masks = all
        .iter()
        .map(|assignment| FixedMask::Grid(assignment.mask(&mean_regions).collect()));
    let mean_mask = highest(mean_masks, |mask| goal(&mask.scores(&fit_truths))).unwrap_or(FixedMask::Everything);
    let fixed = FixedMask::fitted(&fit_truths, goal).map(|(what, mask)| (what, mask.scores(&test_truths)));
    let ranked = |which: &[usize], rank: fn(&RgbImage) -> Ranks| -> Vec<Ranks> {
        which.iter().map(|index| rank(pictures[*index])).collect()
    };
    let share = Ranks::best_share(&ranked(&found.fit, Ranks::unlike_the_frame), &fit_truths, goal);
    let of_ranks = |what: &'static str, share: f64, rank: fn(&RgbImage) -> Ranks| {
        (what, Ranks::scores(&ranked(&found.test, rank), share, &test_truths))
    };
    let looking = [
        of_ranks(K_MEANS, 0.5, Ranks::k_means),
        of_ranks(UNLIKE_THE_FRAME, share, Ranks::unlike_the_frame),
        of_ranks("blob in the middle, with the color model", 0.5, Ranks::blob),
    ];
    let mean = |of: &dyn Fn(usize) -> Scores| Scores::mean(found.test.iter().map(|index| of(*index)));
    let other = chosen.complement(regions);
    Ok(StillReport {
        data_set: data_set.to_owned(),
        fitted_images: found.fit.len(),
        scored_images: found.test.len(),
        assignment: foreground.to_string(),
        foreground_regions: chosen.regions(),
        model: mean(&|index| scores(chosen, index)),
        model_or_complement: mean(&|index| scores(chosen, index).best(scores(other, index))),
        oracle: mean(&|index| {
            let each = all.iter().map(|assignment| scores(*assignment, index));
            each.reduce(Scores::best).unwrap_or_default()
        }),
        model_mean_mask: mean_mask.scores(&test_truths),
        baselines: fixed.into_iter().chain(looking).map(Line::from).collect(),
        masks: found.common.figures(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::testing::{ByColour, pairs};

    /// A green and red object that moves, on black.
    fn moving(i: u32, x: u32, y: u32) -> ([u8; 3], u8) {
        match (x >= i && x < i + 6 && (4..12).contains(&y), y < 8) {
            (false, _) => ([0; 3], 0),
            (true, true) => ([255, 0, 0], 255),
            (true, false) => ([0, 255, 0], 255),
        }
    }

    #[test]
    fn a_perfect_segmenter_scores_one_with_one_assignment() {
        let data = pairs("masks", 10, (16, 16), moving);
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

//! Foreground scores of a model on still images with masks.
//!
//! Some images are used to fit: which regions are the object, and the baselines. All scores are of the others. Images are read
//! one at a time; what is kept of those that are scored are counts.

use std::path::Path;

use anyhow::{Context, Result};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::assignment::{Assignment, Foreground, labels};
use super::baselines::{FixedMask, Line, TruthMask};
use super::common_grid::CommonGrid;
use super::files::{file_name, survey};
use super::items::{Items, Map, VOID};
use super::metrics::{RegionCounts, Scores, Truth, highest};
use super::picture_baselines::{K_MEANS, Ranks, UNLIKE_THE_FRAME};
use super::predictions::predict;
use super::segment::Passes;
use crate::data::masks::Masks;
use crate::training::watching::monitor::MaskFigures;

/// Baselines are fitted on so many images at most, whose masks stay in memory.
const MOST_KEPT: usize = 500;

/// Images with masks; they are read when they are needed.
#[derive(Debug)]
pub struct LabelledImages {
    /// Their files.
    pub items: Items,
    /// What the masks are taken for; `None` where the layout says what they are.
    pub masks: Option<Masks>,
}

/// Tells an engine the class of the pictures that come next, by its name in the layout.
pub type Tell<'a> = &'a mut dyn FnMut(&mut dyn Engine, Option<&str>) -> Result<()>;

impl LabelledImages {
    /// Opens a data set and looks at all masks whose layout does not say what they mean.
    ///
    /// # Errors
    /// As [`Items::open`] and [`LabelledImages::of`].
    pub fn open(folder: &Path, limit: Option<usize>) -> Result<Self> {
        Self::of(Items::open(folder, "masks", limit)?).with_context(|| folder.display().to_string())
    }

    /// As [`LabelledImages::open`], of items.
    ///
    /// # Errors
    /// As [`Items::check`], and if the masks cannot be read or are ambiguous.
    pub fn of(items: Items) -> Result<Self> {
        items.check()?;
        let mut files = items.all.iter().filter_map(|item| match &item.map {
            Map::File(path) => Some(path),
            _ => None,
        });
        let first = files.next();
        let masks = first
            .map(|first| survey(std::iter::once(first).chain(files)))
            .transpose()?;
        Ok(Self { items, masks })
    }

    /// What the masks are taken for, in words.
    pub fn taken_for(&self) -> String {
        self.masks
            .as_ref()
            .map_or("what the layout says".to_owned(), Masks::to_string)
    }

    /// A picture and what its pixels are.
    ///
    /// # Errors
    /// As [`Items::read`].
    pub fn read(&self, index: usize) -> Result<(RgbImage, TruthMask<'static>)> {
        let (picture, map) = self.items.read(index)?;
        let known = |value: &u16| match *value {
            0 => Truth::Background,
            VOID => Truth::Ignored,
            _ => Truth::Foreground,
        };
        let pixels: Vec<Truth> = match &self.masks {
            Some(masks) => masks.marks(&map).into_iter().map(Truth::from).collect(),
            None => map.values.iter().map(known).collect(),
        };
        let truth = TruthMask {
            width: map.width,
            height: map.height,
            pixels: pixels.into(),
        };
        Ok((picture, truth))
    }
}

/// Scores of one picture. Those of a data set are their means, in parts or as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureScores {
    /// Its file's name.
    pub picture: String,
    /// Its class, where the layout has classes.
    pub class: Option<String>,
    /// As in [`StillReport::model`].
    pub model: Scores,
    /// As in [`StillReport::model_or_complement`].
    pub model_or_complement: Scores,
    /// As in [`StillReport::oracle`].
    pub oracle: Scores,
    /// As in [`StillReport::model_mean_mask`].
    pub model_mean_mask: Scores,
    /// In the order of [`StillReport::baselines`].
    pub baselines: Vec<Scores>,
}

/// Scores of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// Its name in the layout.
    pub class: String,
    /// Images that were scored.
    pub images: usize,
    /// The model, with the assignment of the whole set.
    pub scores: Scores,
}

/// Scores of a model on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StillReport {
    /// Name of the data set.
    pub data_set: String,
    /// What the masks were taken for.
    pub masks_taken_for: String,
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
    /// The model on each class, where the layout has classes.
    pub classes: Vec<ClassScores>,
    /// The model, the better of mask and complement for each image and score (IEM and ReDO).
    pub model_or_complement: Scores,
    /// The model, the best assignment for each image and score: an upper bound, not a result.
    pub oracle: Scores,
    /// The model's mean mask of the images that were fitted on, the same for every image: what its masks score without content.
    pub model_mean_mask: Scores,
    /// Scores that need no model: three that never look at the picture, then three that do.
    pub baselines: Vec<Line<Scores>>,
    /// Figures of the masks of all images that were segmented.
    pub masks: MaskFigures,
    /// Each image that was scored.
    pub pictures: Vec<PictureScores>,
}

/// Measures `engine` on `images`, told the class of each by `tell`; `progress` hears how many are done.
///
/// # Errors
/// If an image cannot be read or the engine fails.
pub fn evaluate(
    engine: &mut dyn Engine,
    passes: &Passes,
    data_set: &str,
    images: &LabelledImages,
    foreground: &Foreground,
    tell: Tell<'_>,
    mut progress: impl FnMut(usize),
) -> Result<StillReport> {
    let items = &images.items.all;
    let regions = engine.info().regions;
    let (fit, test): (Vec<usize>, Vec<usize>) = (0..items.len()).partition(|index| items[*index].fit);
    let (mut counts, mut fit_truths, mut fit_ranks) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
    let [mut common, mut common_of_fit] = [(); 2].map(|()| CommonGrid::new(regions));
    let mut fitted = 0;
    for alike in items.chunk_by(|a, b| a.class == b.class) {
        tell(engine, alike[0].class.as_deref())?;
        let first = counts.len();
        let pictures = (first..first + alike.len()).map(|index| images.read(index));
        predict(engine, passes, pictures, |picture, truth, map| {
            let index = counts.len();
            let found = labels(&map.probabilities, regions);
            counts.push(RegionCounts::of(found, &truth.pixels, regions));
            common.add(&map);
            if items[index].fit {
                common_of_fit.add(&map);
                if fitted % fit.len().div_ceil(MOST_KEPT) == 0 {
                    fit_ranks.push(Ranks::unlike_the_frame(&picture));
                    fit_truths.push(truth);
                }
                fitted += 1;
            }
            progress(index + 1);
        })?;
    }
    let scores = |assignment: Assignment, index: usize| counts[index].scores(|region| assignment.holds(region));
    let all = Assignment::all(regions);
    let chosen = foreground.assign(engine.info(), |assignment| {
        Scores::mean(fit.iter().map(|index| scores(assignment, *index))).mean_iou
    })?;
    let goal = |scores: &Scores| scores.mean_iou;
    let mean_regions = common_of_fit.labels();
    let mean_masks = all
        .iter()
        .map(|assignment| FixedMask::Grid(assignment.mask(&mean_regions).collect()));
    let mean_mask = highest(mean_masks, |mask| goal(&mask.scores(&fit_truths))).unwrap_or(FixedMask::Everything);
    let fixed = FixedMask::fitted(&fit_truths, goal);
    let share = Ranks::best_share(&fit_ranks, &fit_truths, goal);
    type Look = (&'static str, f64, fn(&RgbImage) -> Ranks);
    let looking: [Look; 3] = [
        (K_MEANS, 0.5, Ranks::k_means),
        (UNLIKE_THE_FRAME, share, Ranks::unlike_the_frame),
        ("blob in the middle, with the color model", 0.5, Ranks::blob),
    ];
    let other = chosen.complement(regions);
    // What only the fit tells how to make is scored in a second look at the images.
    let mut pictures = Vec::with_capacity(test.len());
    for index in test {
        let (picture, truth) = images.read(index)?;
        let truth = std::slice::from_ref(&truth);
        let of_fixed = fixed.iter().map(|(_, mask)| mask.scores(truth));
        let of_looking = looking
            .iter()
            .map(|(_, share, rank)| Ranks::scores(&[rank(&picture)], *share, truth));
        let model = scores(chosen, index);
        let each = all.iter().map(|assignment| scores(*assignment, index));
        pictures.push(PictureScores {
            picture: file_name(&items[index].picture),
            class: items[index].class.clone(),
            model,
            model_or_complement: model.best(scores(other, index)),
            oracle: each.reduce(Scores::best).unwrap_or_default(),
            model_mean_mask: mean_mask.scores(truth),
            baselines: of_fixed.chain(of_looking).collect(),
        });
    }
    let names = fixed
        .iter()
        .map(|(what, _)| *what)
        .chain(looking.iter().map(|(what, ..)| *what));
    let mean = |of: &dyn Fn(&PictureScores) -> Scores| Scores::mean(pictures.iter().map(of));
    let of_class = |all: &[PictureScores]| {
        Some(ClassScores {
            class: all[0].class.clone()?,
            images: all.len(),
            scores: Scores::mean(all.iter().map(|picture| picture.model)),
        })
    };
    Ok(StillReport {
        data_set: data_set.to_owned(),
        masks_taken_for: images.taken_for(),
        fitted_images: fit.len(),
        scored_images: pictures.len(),
        assignment: foreground.to_string(),
        foreground_regions: chosen.regions(),
        model: mean(&|picture| picture.model),
        classes: pictures
            .chunk_by(|a, b| a.class == b.class)
            .filter_map(of_class)
            .collect(),
        model_or_complement: mean(&|picture| picture.model_or_complement),
        oracle: mean(&|picture| picture.oracle),
        model_mean_mask: mean(&|picture| picture.model_mean_mask),
        baselines: names
            .enumerate()
            .map(|(index, what)| Line::from((what, mean(&|picture| picture.baselines[index]))))
            .collect(),
        masks: common.figures(),
        pictures,
    })
}

#[cfg(test)]
mod tests;

//! Accuracy of a model on pictures with maps of parts, such as faces with skin and hair.
//!
//! The maps' values are the parts. They are gathered into classes, the first of which (background) has all that no other names.
//! Every region stands for one class, fitted on some images; all scores are of the others.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::assignment::labels;
use super::common_grid::CommonGrid;
use super::files::open_labels;
use super::items::{Items, Map};
use super::predictions::predict;
use super::segment::Passes;
use crate::data::labels::Stored;
use crate::training::watching::monitor::MaskFigures;

/// What the paper tells apart in faces: skin with all that lies in it, and hair.
const FACE_CLASSES: [&str; 2] = ["skin=1-12", "hair=13"];

/// A class of parts: a name and the map values that it gathers, as in `hair=13` or `skin=1-12,17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartClass {
    /// Its name.
    pub name: String,
    values: Vec<RangeInclusive<u16>>,
}

impl FromStr for PartClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no class of parts; expected a name and map values, such as skin=1-12,17");
        let (name, list) = text.split_once('=').ok_or_else(wrong)?;
        let values = list
            .split(',')
            .map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                (first <= last).then_some(first..=last)
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            name: name.to_owned(),
            values,
        })
    }
}

/// Pictures with maps of parts; they are read when they are needed.
#[derive(Debug)]
pub struct PartedImages {
    /// Their files.
    pub items: Items,
    parts: Vec<PartClass>,
    /// Values but 0 that no class names, of all maps; they are background.
    pub unnamed: BTreeSet<u16>,
}

impl PartedImages {
    /// Opens a data set whose maps, where its layout does not say otherwise, are in the sub-folder `maps`, and looks at all maps.
    /// Without `parts` these are the paper's of CelebAMask-HQ.
    ///
    /// # Errors
    /// As [`Items::open`] and [`Items::check`], and if a map cannot be read, does not say its values (greys in a palette, colours), or has
    /// none that a class names in the whole set.
    pub fn open(folder: &Path, maps: &str, parts: &[PartClass], limit: Option<usize>) -> Result<Self> {
        let items = Items::open(folder, maps, limit)?;
        items.check().with_context(|| folder.display().to_string())?;
        let files = items.all.iter().filter_map(|item| match &item.map {
            Map::File(path) => Some(path),
            _ => None,
        });
        let mut values = BTreeSet::new();
        let known = files.clone().next().is_none();
        let parts = match parts {
            [] if known => FACE_CLASSES
                .map(str::parse)
                .into_iter()
                .collect::<Result<_, String>>()
                .map_err(Error::msg)?,
            [] => bail!("name the classes with --class-of, such as --class-of hair=13"),
            parts => parts.to_vec(),
        };
        for path in files {
            let map = open_labels(path)?;
            let unclear = match map.stored {
                Stored::Grey { .. } | Stored::Palette(_) => None,
                Stored::GreyPalette => Some("greys in a palette: the values may be the greys or the indices"),
                Stored::Colours(_) => Some("colours, which have no values"),
            };
            if let Some(what) = unclear {
                bail!(
                    "{} holds {what}; save it as grey, or with a palette of colours",
                    path.display()
                );
            }
            values.extend(map.values);
        }
        ensure!(
            known || values.iter().any(|value| class_of(*value, &parts) > 0),
            "no map in {} has a value that a class names; the values are {}",
            folder.join(maps).display(),
            values
                .iter()
                .take(20)
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        values.retain(|value| *value > 0 && class_of(*value, &parts) == 0);
        Ok(Self {
            items,
            parts,
            unnamed: values,
        })
    }

    /// A picture and the class of each of its pixels, 0 for background.
    ///
    /// # Errors
    /// As [`Items::read`].
    pub fn read(&self, index: usize) -> Result<(RgbImage, Vec<u8>)> {
        let (picture, map) = self.items.read(index)?;
        let classes = map.values.iter().map(|value| class_of(*value, &self.parts)).collect();
        Ok((picture, classes))
    }
}

impl PartClass {
    fn holds(&self, value: u16) -> bool {
        self.values.iter().any(|range| range.contains(&value))
    }
}

/// Index of the class of a map value, 0 for background.
fn class_of(value: u16, parts: &[PartClass]) -> u8 {
    parts
        .iter()
        .position(|part| part.holds(value))
        .map_or(0, |class| class as u8 + 1)
}

/// Scores of several classes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PartScores {
    /// Share of all pixels that have their class.
    pub accuracy: f64,
    /// Intersection over union of each class, over all pixels together.
    pub iou: Vec<f64>,
    /// Their mean.
    pub mean_iou: f64,
    /// The pixels that these follow from, `[true class, predicted class]`.
    pub pixels: Vec<Vec<u64>>,
}

/// Pixels by true and predicted class.
#[derive(Debug, Clone)]
struct Confusion {
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    fn new(classes: usize) -> Self {
        Self {
            counts: vec![vec![0; classes]; classes],
        }
    }

    /// Adds pixels that are predicted alike, counted by their true class.
    fn add(&mut self, truths: &[u64], predicted: u8) {
        for (counts, count) in self.counts.iter_mut().zip(truths) {
            counts[usize::from(predicted)] += count;
        }
    }

    fn scores(self) -> PartScores {
        let all: u64 = self.counts.iter().flatten().sum();
        let right: u64 = (0..self.counts.len()).map(|class| self.counts[class][class]).sum();
        let iou: Vec<f64> = (0..self.counts.len())
            .map(|class| {
                let truth: u64 = self.counts[class].iter().sum();
                let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
                let both = self.counts[class][class];
                let union = truth + predicted - both;
                if union == 0 { 1.0 } else { both as f64 / union as f64 }
            })
            .collect();
        PartScores {
            accuracy: right as f64 / all.max(1) as f64,
            mean_iou: iou.iter().sum::<f64>() / iou.len() as f64,
            iou,
            pixels: self.counts,
        }
    }
}

/// Scores of a model on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartReport {
    /// Images that were fitted on.
    pub fitted_images: usize,
    /// Images that were scored.
    pub scored_images: usize,
    /// Names of the classes, background first.
    pub classes: Vec<String>,
    /// The class that each region stands for.
    pub assignment: Vec<usize>,
    /// The model.
    pub model: PartScores,
    /// The most frequent class of each place, fitted: what never looks at the picture.
    pub same_map: PartScores,
    /// The most frequent class everywhere.
    pub one_class: PartScores,
    /// Figures of the masks of all images that were segmented.
    pub masks: MaskFigures,
}

/// Pixels by class, in each region and at each place.
pub struct Tally {
    in_region: Vec<Vec<u64>>,
    at_place: Vec<Vec<u64>>,
}

impl Tally {
    /// Of nothing, for maps of so many pixels.
    pub fn new(regions: usize, classes: usize, pixels: usize) -> Self {
        Self {
            in_region: vec![vec![0; classes]; regions],
            at_place: vec![vec![0; classes]; pixels],
        }
    }

    /// Adds the classes of a map's pixels, and the regions that were found there.
    pub fn add(&mut self, classes: &[u8], regions: &[u8]) {
        for (place, (class, region)) in classes.iter().zip(regions).enumerate() {
            self.in_region[usize::from(*region)][usize::from(*class)] += 1;
            self.at_place[place][usize::from(*class)] += 1;
        }
    }
}

/// Measures `engine` on `images`.
///
/// # Errors
/// If the images differ in size, one cannot be read, or the engine fails.
pub fn evaluate(engine: &mut dyn Engine, passes: &Passes, images: &PartedImages) -> Result<PartReport> {
    let (items, parts) = (&images.items.all, &images.parts);
    let fitted_images = items.iter().filter(|item| item.fit).count();
    let scored_images = items.len() - fitted_images;
    let size = images.read(0)?.0.dimensions();
    let pixels = size.0 as usize * size.1 as usize;
    let (regions, classes) = (engine.info().regions, parts.len() + 1);
    let [mut fit, mut test] = [(); 2].map(|()| Tally::new(regions, classes, pixels));
    let read = |index| {
        let (picture, classes) = images.read(index)?;
        let other = picture.dimensions();
        ensure!(
            other == size,
            "pictures of {size:?} and {other:?}; all must have the same size"
        );
        Ok((picture, classes))
    };
    let mut index = 0;
    let mut common = CommonGrid::new(regions);
    predict(engine, passes, (0..items.len()).map(read), |_, classes, map| {
        common.add(&map);
        let tally = if items[index].fit { &mut fit } else { &mut test };
        tally.add(&classes, &labels(&map.probabilities, regions));
        index += 1;
    })?;
    let (assignment, [model, same_map, one_class]) = scores(&fit, &test, classes);
    let names = parts.iter().map(|part| part.name.clone());
    Ok(PartReport {
        fitted_images,
        scored_images,
        classes: std::iter::once("background".to_owned()).chain(names).collect(),
        assignment,
        model,
        same_map,
        one_class,
        masks: common.figures(),
    })
}

/// The class that each region stands for, fitted, and the scores of the regions, of the best map that is always the same, and of
/// the most frequent class.
pub fn scores(fit: &Tally, test: &Tally, classes: usize) -> (Vec<usize>, [PartScores; 3]) {
    let most = |counts: &Vec<u64>| (0..classes).max_by_key(|class| counts[*class]).unwrap_or(0) as u8;
    let assignment: Vec<u8> = fit.in_region.iter().map(most).collect();
    let everywhere = (0..classes)
        .map(|class| fit.at_place.iter().map(|counts| counts[class]).sum())
        .collect();
    let everywhere = most(&everywhere);
    let mut confusions = [(); 3].map(|()| Confusion::new(classes));
    for (counts, class) in test.in_region.iter().zip(&assignment) {
        confusions[0].add(counts, *class);
        confusions[2].add(counts, everywhere);
    }
    for (counts, fitted) in test.at_place.iter().zip(&fit.at_place) {
        confusions[1].add(counts, most(fitted));
    }
    let assignment = assignment.into_iter().map(usize::from).collect();
    (assignment, confusions.map(|confusion| confusion.scores()))
}

#[cfg(test)]
mod tests;

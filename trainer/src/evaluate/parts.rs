//! Accuracy of a model on pictures with maps of parts, such as faces with skin and hair.
//!
//! A data set is a folder with `images/` and a folder of grey maps of the same names whose values are the parts. Values are
//! gathered into classes, the first of which (background) has all that no other names. Every region stands for one class,
//! fitted on every fifth image; all scores are of the other images.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::pairs::{Pair, read_pairs};
use super::predictions::Predictions;
use super::segment::Passes;
use crate::training::watching::monitor::MaskFigures;

/// A class of parts: a name and the map values that it gathers, as in `hair=13` or `skin=1-12,17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartClass {
    /// Its name.
    pub name: String,
    values: Vec<RangeInclusive<u8>>,
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
                let (first, last): (u8, u8) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
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

/// A picture and the class of each of its pixels, 0 for background.
#[derive(Debug, Clone)]
pub struct PartedImage {
    /// The picture.
    pub picture: RgbImage,
    /// `[height, width]` of the picture.
    pub classes: Vec<u8>,
}

/// Reads a folder with `images/` and the maps in its sub-folder `maps`.
///
/// # Errors
/// If a folder is missing or empty, an image has no map, or the sizes differ.
pub fn read_data_set(folder: &Path, maps: &str, parts: &[PartClass], limit: Option<usize>) -> Result<Vec<PartedImage>> {
    read_pairs(folder, maps, limit)?
        .map(|pair| {
            let Pair { picture, map } = pair?;
            Ok(PartedImage {
                classes: map.as_raw().iter().map(|value| class_of(*value, parts)).collect(),
                picture,
            })
        })
        .collect()
}

/// Index of the class of a map value, 0 for background.
fn class_of(value: u8, parts: &[PartClass]) -> u8 {
    let holds = |part: &PartClass| part.values.iter().any(|range| range.contains(&value));
    parts.iter().position(holds).map_or(0, |class| class as u8 + 1)
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

    fn add(&mut self, truth: &[u8], predicted: impl IntoIterator<Item = u8>) {
        for (truth, predicted) in truth.iter().zip(predicted) {
            self.counts[usize::from(*truth)][usize::from(predicted)] += 1;
        }
    }

    fn scores(&self) -> PartScores {
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
    /// Figures of the masks.
    pub masks: MaskFigures,
}

/// Measures `engine` on `images`.
///
/// # Errors
/// If there are fewer than two images, they differ in size, or the engine fails.
pub fn evaluate(
    engine: &mut dyn Engine,
    passes: &Passes,
    images: &[PartedImage],
    parts: &[PartClass],
) -> Result<PartReport> {
    if images.len() < 2 {
        bail!("{} images; at least two are needed, one to fit on", images.len());
    }
    let size = images[0].picture.dimensions();
    if let Some(other) = images.iter().find(|image| image.picture.dimensions() != size) {
        bail!(
            "pictures of {size:?} and {:?}; all must have the same size",
            other.picture.dimensions()
        );
    }
    let (regions, classes, pixels) = (engine.info().regions, parts.len() + 1, images[0].classes.len());
    let pictures: Vec<&RgbImage> = images.iter().map(|image| &image.picture).collect();
    let found = Predictions::of(engine, passes, &pictures, |_| {})?;
    // Pixels of each class in each region, and at each place.
    let mut in_region = vec![vec![0u64; classes]; regions];
    let mut at_place = vec![vec![0u64; classes]; pixels];
    for index in &found.fit {
        for (place, (class, region)) in images[*index].classes.iter().zip(&found.regions[*index]).enumerate() {
            in_region[usize::from(*region)][usize::from(*class)] += 1;
            at_place[place][usize::from(*class)] += 1;
        }
    }
    let most = |counts: &Vec<u64>| (0..classes).max_by_key(|class| counts[*class]).unwrap_or(0) as u8;
    let assignment: Vec<u8> = in_region.iter().map(most).collect();
    let map: Vec<u8> = at_place.iter().map(most).collect();
    let total: Vec<u64> = (0..classes)
        .map(|class| at_place.iter().map(|counts| counts[class]).sum())
        .collect();
    let everywhere = most(&total);
    let mut confusions = [(); 3].map(|()| Confusion::new(classes));
    for index in &found.test {
        let truth = &images[*index].classes;
        let regions = found.regions[*index].iter();
        let model = regions.map(|region| assignment[usize::from(*region)]);
        confusions[0].add(truth, model);
        confusions[1].add(truth, map.iter().copied());
        confusions[2].add(truth, truth.iter().map(|_| everywhere));
    }
    let [model, same_map, one_class] = confusions.map(|confusion| confusion.scores());
    let names = parts.iter().map(|part| part.name.clone());
    Ok(PartReport {
        fitted_images: found.fit.len(),
        scored_images: found.test.len(),
        classes: std::iter::once("background".to_owned()).chain(names).collect(),
        assignment: assignment.into_iter().map(usize::from).collect(),
        model,
        same_map,
        one_class,
        masks: found.common.figures(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::testing::{ByColour, pairs};

    fn parts() -> Vec<PartClass> {
        vec!["skin=1-3,7".parse().unwrap(), "hair=4".parse().unwrap()]
    }

    #[test]
    fn classes_gather_map_values() {
        for (value, class) in [(0, 0), (1, 1), (3, 1), (7, 1), (4, 2), (5, 0)] {
            assert_eq!(class_of(value, &parts()), class);
        }
        for wrong in ["skin", "=1", "skin=", "skin=3-1", "skin=1-300", "skin=a"] {
            assert!(
                wrong.parse::<PartClass>().unwrap_err().contains("skin=1-12,17"),
                "{wrong}"
            );
        }
    }

    /// Black, a red half that wanders and a green stripe; hair is the green, skin the red.
    fn wandering(i: u32, x: u32, y: u32) -> ([u8; 3], u8) {
        if y < 3 {
            ([0, 255, 0], 4)
        } else if (i..i + 6).contains(&x) {
            ([255, 0, 0], 2)
        } else {
            ([0; 3], 0)
        }
    }

    #[test]
    fn a_perfect_segmenter_scores_one_and_a_fixed_map_less() {
        let data = pairs("maps", 10, (16, 8), wandering);
        let images = read_data_set(data.path(), "maps", &parts(), None).unwrap();
        let report = evaluate(&mut ByColour::new(), &Passes::single(), &images, &parts()).unwrap();
        assert_eq!((report.fitted_images, report.scored_images), (2, 8));
        assert_eq!(report.assignment, [1, 2, 0]);
        assert_eq!((report.model.accuracy, report.model.mean_iou), (1.0, 1.0));
        assert!(report.same_map.accuracy < 0.9 && report.same_map.accuracy > report.one_class.accuracy);
        // Hair is always at the same place.
        assert_eq!(report.same_map.iou[2], 1.0);
        assert!(read_data_set(data.path(), "masks", &parts(), None).is_err());
        assert!(evaluate(&mut ByColour::new(), &Passes::single(), &images[..1], &parts()).is_err());
    }

    #[test]
    fn scores_are_those_of_the_confusion() {
        let mut confusion = Confusion::new(2);
        confusion.add(&[0, 0, 0, 1, 1], [0, 0, 1, 1, 0]);
        let scores = confusion.scores();
        assert_eq!((scores.accuracy, scores.iou), (0.6, vec![0.5, 1.0 / 3.0]));
    }
}

//! Scores of ways to find an object without learning: colour clusters, colours that the frame lacks, and a blob in the middle
//! with the color model, which is what the color model does without a network.
//!
//! All work on a copy of the picture whose longer side is at most 64 pixels. They look at the picture, so they are the
//! next thing to beat after the masks of [`super::baselines`].

use std::borrow::Cow;

use factorseg_refine::{ColorModel, RegionMap};
use image::RgbImage;
use image::imageops;

use super::baselines::TruthMask;
use super::common_grid::middles;
use super::metrics::{Scores, highest};
use super::segment::network_input;

/// What [`Ranks::k_means`] is called.
pub const K_MEANS: &str = "K-means on colour, K=2";
/// What [`Ranks::unlike_the_frame`] is called.
pub const UNLIKE_THE_FRAME: &str = "unlike the frame's colours, share fitted";

/// Longer side of the copy.
const SIDE: u32 = 64;
/// Standard deviation of the kernel over colours, which are in `0..=1`.
const BANDWIDTH: f32 = 0.08;
/// Frame colours that a density is made of, at most.
const FRAME_SAMPLES: usize = 128;
/// Standard deviations of the blob in the middle, in sides of the picture.
const BLOB: f32 = 0.3125;
/// Rounds of K-means; it has converged long before on such small sets.
const ROUNDS: usize = 30;

/// How little each cell of a picture's small copy looks like the object: 0 for the cell that does most, below 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Ranks {
    /// Two clusters of colours (K-means from the halves darker and brighter than the mean): 0 for the cluster with the
    /// smaller part of the picture's frame, 1/2 for the other. Any share up to a half gives the same mask.
    pub fn k_means(picture: &RgbImage) -> Self {
        let small = Small::of(picture);
        let brightness = || small.colours.iter().map(|colour| colour[0]);
        let mean = brightness().sum::<f32>() / small.colours.len().max(1) as f32;
        let mut bright: Vec<bool> = brightness().map(|value| value > mean).collect();
        for _ in 0..ROUNDS {
            let centre = |cluster: bool| {
                let mut sum = [0.0f32; 3];
                let mut count = 0.0f32;
                for (colour, _) in small.colours.iter().zip(&bright).filter(|(_, of)| **of == cluster) {
                    sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
                    count += 1.0;
                }
                sum.map(|sum| sum / count.max(1.0))
            };
            let centres = [centre(false), centre(true)];
            let next: Vec<bool> = small
                .colours
                .iter()
                .map(|colour| distance(colour, &centres[1]) < distance(colour, &centres[0]))
                .collect();
            if next == bright {
                break;
            }
            bright = next;
        }
        let frame = small.frame();
        let on_frame = frame.iter().filter(|at| bright[**at]).count();
        let object = 2 * on_frame < frame.len();
        Self::of_mask(small.width, small.height, bright.iter().map(|of| *of == object))
    }

    /// 0 in the object, 1/2 elsewhere.
    fn of_mask(width: usize, height: usize, object: impl Iterator<Item = bool>) -> Self {
        Self {
            width,
            height,
            values: object.map(|inside| if inside { 0.0 } else { 0.5 }).collect(),
        }
    }

    /// By the density of the frame's colours at the cell's own colour, smoothed: the rank of a cell is the share of
    /// cells that are less like the frame.
    pub fn unlike_the_frame(picture: &RgbImage) -> Self {
        let small = Small::of(picture);
        let frame = small.frame();
        let step = frame.len().div_ceil(FRAME_SAMPLES).max(1);
        let samples: Vec<[f32; 3]> = frame.iter().step_by(step).map(|at| small.colours[*at]).collect();
        let scale = -0.5 / (BANDWIDTH * BANDWIDTH);
        let mut unlike: Vec<f32> = small
            .colours
            .iter()
            .map(|colour| {
                let density: f32 = samples
                    .iter()
                    .map(|sample| (scale * distance(colour, sample)).exp())
                    .sum();
                // Colours that the frame lacks are all as unlike, however far.
                -(density / samples.len() as f32 + 1e-3).ln()
            })
            .collect();
        for _ in 0..2 {
            unlike = box_mean(&unlike, small.width, small.height);
        }
        let mut order: Vec<usize> = (0..unlike.len()).collect();
        order.sort_by(|a, b| unlike[*b].total_cmp(&unlike[*a]));
        let mut values = vec![0.0; unlike.len()];
        for (rank, at) in order.iter().enumerate() {
            values[*at] = rank as f32 / order.len() as f32;
        }
        Self {
            width: small.width,
            height: small.height,
            values,
        }
    }

    /// What the color model makes of a Gaussian blob in the middle, the same for all pictures: 0 for the object, 1/2 for the
    /// rest. Any share up to a half gives the same mask.
    pub fn blob(picture: &RgbImage) -> Self {
        let small = small_copy(picture);
        let (width, height) = (small.width() as usize, small.height() as usize);
        let from_middle = |at: usize, length: usize| ((at as f32 + 0.5) / length as f32 - 0.5) / BLOB;
        let object: Vec<f32> = (0..width * height)
            .map(|at| {
                let distance = from_middle(at % width, width).hypot(from_middle(at / width, height));
                1.0 / (1.0 + (distance * distance).exp())
            })
            .collect();
        let mut map = RegionMap {
            regions: 2,
            width,
            height,
            probabilities: object.iter().map(|p| 1.0 - p).chain(object.iter().copied()).collect(),
        };
        ColorModel::default().refine(&network_input(&small, (width, height)), &mut map, &[false, true]);
        let object = &map.probabilities[width * height..];
        Self::of_mask(width, height, object.iter().map(|p| *p > 0.5))
    }

    /// The mask of the `share` of cells that look most like the object, at a size.
    pub fn mask(&self, share: f64, width: usize, height: usize) -> Vec<bool> {
        let columns: Vec<usize> = middles(width, self.width).collect();
        let inside: Vec<bool> = self.values.iter().map(|rank| f64::from(*rank) < share).collect();
        middles(height, self.height)
            .flat_map(|y| {
                let row = &inside[y * self.width..][..self.width];
                columns.iter().map(|x| row[*x])
            })
            .collect()
    }

    /// The share (in steps of a twentieth) that scores best on pictures with truths.
    pub fn best_share(all: &[Self], truths: &[TruthMask<'_>], goal: impl Fn(&Scores) -> f64) -> f64 {
        let shares = (1..20).map(|part| f64::from(part) / 20.0);
        highest(shares, |share| goal(&Self::scores(all, *share, truths))).unwrap_or(0.5)
    }

    /// Mean scores of the masks of a share.
    pub fn scores(all: &[Self], share: f64, truths: &[TruthMask<'_>]) -> Scores {
        let masks = all
            .iter()
            .zip(truths)
            .map(|(ranks, truth)| truth.scores(ranks.mask(share, truth.width, truth.height)));
        Scores::mean(masks)
    }
}

/// The picture, or a copy whose longer side is `SIDE`.
fn small_copy(picture: &RgbImage) -> Cow<'_, RgbImage> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    let fit = |side: u32| (side * SIDE / longer).max(1);
    if longer > SIDE {
        Cow::Owned(imageops::thumbnail(picture, fit(width), fit(height)))
    } else {
        Cow::Borrowed(picture)
    }
}

/// A small copy of a picture in opponent colours: brightness, red against green, yellow against blue.
struct Small {
    width: usize,
    height: usize,
    colours: Vec<[f32; 3]>,
}

impl Small {
    fn of(picture: &RgbImage) -> Self {
        let copy = small_copy(picture);
        Self {
            width: copy.width() as usize,
            height: copy.height() as usize,
            colours: copy
                .pixels()
                .map(|pixel| {
                    let [r, g, b] = pixel.0.map(|value| f32::from(value) / 255.0);
                    [(r + g + b) / 3.0, r - g, (r + g) / 2.0 - b]
                })
                .collect(),
        }
    }

    /// Cells within a sixteenth of the shorter side of the border.
    fn frame(&self) -> Vec<usize> {
        let thickness = (self.width.min(self.height) / 16).max(1);
        (0..self.colours.len())
            .filter(|at| {
                let (x, y) = (at % self.width, at / self.width);
                x.min(self.width - 1 - x).min(y).min(self.height - 1 - y) < thickness
            })
            .collect()
    }
}

/// The squared distance.
fn distance(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The mean over 5 by 5 cells, as far as the picture reaches.
fn box_mean(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let window = |at: usize, length: usize| at.saturating_sub(2)..(at + 3).min(length);
    let mean = |sum: f32, count: usize| sum / count as f32;
    let rows: Vec<f32> = (0..values.len())
        .map(|at| {
            let (columns, row) = (window(at % width, width), &values[at / width * width..][..width]);
            mean(row[columns.clone()].iter().sum(), columns.len())
        })
        .collect();
    (0..values.len())
        .map(|at| {
            let lines = window(at / width, height);
            mean(
                lines.clone().map(|line| rows[line * width + at % width]).sum(),
                lines.len(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;

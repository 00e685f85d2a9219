//! Scores that need no model: what a mask gets that never looks at the picture.

use std::borrow::Cow;

use serde::Serialize;

use super::common_grid::{GRID, cells};
use super::metrics::{Scores, Truth, highest};

/// A line of a table: what was scored, and its scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line<S> {
    /// What was scored.
    pub what: String,
    /// Its mean scores.
    pub scores: S,
}

impl<S> From<(&str, S)> for Line<S> {
    fn from((what, scores): (&str, S)) -> Self {
        Self {
            what: what.to_owned(),
            scores,
        }
    }
}

/// An image's truth with its size.
#[derive(Debug, Clone)]
pub struct TruthMask<'a> {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width]`.
    pub pixels: Cow<'a, [Truth]>,
}

impl TruthMask<'_> {
    /// Scores of a mask of this size.
    pub fn scores(&self, mask: impl IntoIterator<Item = bool>) -> Scores {
        Scores::of(mask, &self.pixels)
    }
}

/// A mask in coordinates from 0 to 1 that is the same for every image.
#[derive(Debug, Clone, PartialEq)]
pub enum FixedMask {
    /// Everything is foreground.
    Everything,
    /// A centred box with sides that are this part of the image's.
    Box {
        /// Part of the image's width.
        width: f64,
        /// Part of the image's height.
        height: f64,
    },
    /// Any mask, on a grid of 64 by 64.
    Grid(Vec<bool>),
}

impl FixedMask {
    /// All that is compared with, by name, fitted where there is something to fit.
    pub fn fitted(truths: &[TruthMask<'_>], goal: fn(&Scores) -> f64) -> [(&'static str, Self); 3] {
        [
            ("all foreground", Self::Everything),
            ("centred box, fitted", Self::best_box(truths, goal)),
            (
                "best mask that ignores the image, fitted",
                Self::best_mean_mask(truths, goal),
            ),
        ]
    }

    /// The mask at the size of an image.
    pub fn pixels(&self, width: usize, height: usize) -> impl Iterator<Item = bool> + '_ {
        (0..height).flat_map(move |y| {
            (0..width).map(move |x| {
                let (u, v) = ((x as f64 + 0.5) / width as f64, (y as f64 + 0.5) / height as f64);
                match self {
                    Self::Everything => true,
                    Self::Box { width, height } => (u - 0.5).abs() <= width / 2.0 && (v - 0.5).abs() <= height / 2.0,
                    Self::Grid(cells) => cells[(v * GRID as f64) as usize * GRID + (u * GRID as f64) as usize],
                }
            })
        })
    }

    /// Mean scores over images.
    pub fn scores(&self, truths: &[TruthMask<'_>]) -> Scores {
        let scores = |truth: &TruthMask| truth.scores(self.pixels(truth.width, truth.height));
        Scores::mean(truths.iter().map(scores))
    }

    /// The centred box (sides in steps of a sixteenth) with the best mean of a score.
    pub fn best_box(truths: &[TruthMask<'_>], goal: impl Fn(&Scores) -> f64) -> Self {
        let sides = || (4..=16).map(|part| f64::from(part) / 16.0);
        best(
            sides().flat_map(|width| sides().map(move |height| Self::Box { width, height })),
            truths,
            goal,
        )
    }

    /// The threshold (in steps of a twentieth) of the mean truth with the best mean of a score.
    pub fn best_mean_mask(truths: &[TruthMask<'_>], goal: impl Fn(&Scores) -> f64) -> Self {
        let mut foreground = vec![0.0; GRID * GRID];
        let mut known = vec![0.0; GRID * GRID];
        for truth in truths {
            let middles = cells(truth.width, truth.height);
            for (pixel, (sum, count)) in middles.zip(foreground.iter_mut().zip(&mut known)) {
                match truth.pixels[pixel] {
                    Truth::Foreground => (*sum, *count) = (*sum + 1.0, *count + 1.0),
                    Truth::Background => *count += 1.0,
                    Truth::Ignored => {}
                }
            }
        }
        let share: Vec<f64> = foreground
            .iter()
            .zip(&known)
            .map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 })
            .collect();
        best(
            (1..20).map(|part| Self::Grid(share.iter().map(|s| *s >= f64::from(part) / 20.0).collect())),
            truths,
            goal,
        )
    }
}

fn best(
    candidates: impl Iterator<Item = FixedMask>,
    truths: &[TruthMask<'_>],
    goal: impl Fn(&Scores) -> f64,
) -> FixedMask {
    highest(candidates, |mask| goal(&mask.scores(truths))).unwrap_or(FixedMask::Everything)
}

#[cfg(test)]
mod tests;

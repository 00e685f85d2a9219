//! Regions that compete for the picture.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::phase::Check;

/// What a branch sees of the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// The frame of the picture.
    #[default]
    Frame,
    /// Its own region.
    Region,
}

/// The edges of the picture along which its frame runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameEdges {
    /// All four.
    #[default]
    All,
    /// The left and the right one, for objects that reach from top to bottom.
    Sides,
    /// All but the upper one.
    SidesAndBottom,
}

/// Regions compete to denoise hidden parts of the picture, and a pixel goes to the one that does it best.
///
/// The noise of a picture varies from place to place. Scattered blocks are *hidden*: their noise is strong, the same for
/// all branches. The *foreground* branches (regions 1 to K - 1, but for a `bottom`) see their own region under the weak noise of the phase, the
/// *background* branch (region 0) sees the frame of the picture so; all the rest is pure noise to them. The loss is that of
/// Eq. 8 at the hidden pixels, branch by branch, weighted by the masks: sum over k of `m_k |epsilon - epsilon_k|^2`. It is linear
/// in the masks, so it commits them, and it can be met neither by mixed masks nor by position: what the frame predicts
/// well is background, what needs more of its own kind is foreground.
///
/// The regions' shares of a batch are given, for else the foreground would take all: it sees more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Competition {
    /// Share of the pixels of a batch that is foreground, drawn uniformly between the two for each micro-batch.
    pub foreground: (f64, f64),
    /// What the background branch sees: the picture's `frame`, or its own `region` like the others.
    pub background: Sight,
    /// Width of the frame that the background branch sees, as a share of the picture's side.
    pub frame: f64,
    /// The edges of the picture along which the frame runs.
    pub frame_edges: FrameEdges,
    /// Where more than 0, the branch of region 1 sees not its own region but a disc in the middle of the picture, with this part
    /// of the side as its radius: what the middle predicts is region 1.
    pub centre: f64,
    /// Where the foreground regions lie around one another: region k's branch, from the second foreground region on, sees
    /// not its own region but the surroundings of those before it, regions 1 to k - 1: what is more than the first and at most the
    /// second of these parts of the picture's side away from them. A pixel then belongs to region k if it is like what
    /// surrounds the regions within; a gap keeps out what those have not reached yet. `[0, 0]`: every region sees itself.
    pub surroundings: (f64, f64),
    /// Where more than 0, the last region is what the picture's lower edge predicts, such as neck and clothes of a portrait: its branch
    /// sees a frame along that edge, it has this share of the pixels of a batch, and it is not foreground. It takes three regions.
    pub bottom: f64,
    /// Side of a hidden block, as a share of the picture's side.
    pub block: f64,
    /// Probability of a block to be hidden.
    pub hidden: f64,
    /// First and last timestep of the noise on hidden blocks, drawn uniformly for each picture.
    pub timesteps: (usize, usize),
    /// Standard deviation of the Gaussian that gathers a pixel's evidence from its neighbourhood, as a share of the
    /// picture's side; 0: every pixel for itself.
    pub smoothing: f64,
}

impl Default for Competition {
    fn default() -> Self {
        Self {
            foreground: (0.2, 0.4),
            background: Sight::Frame,
            frame: 0.125,
            frame_edges: FrameEdges::All,
            centre: 0.0,
            surroundings: (0.0, 0.0),
            bottom: 0.0,
            block: 0.25,
            hidden: 0.4,
            timesteps: (200, 500),
            smoothing: 0.04,
        }
    }
}

impl Competition {
    /// The regions that are foreground, of so many.
    pub fn foreground_regions(&self, regions: usize) -> Range<usize> {
        1..regions - usize::from(self.bottom > 0.0)
    }

    /// The fewest regions that it takes.
    pub fn least_regions(&self) -> usize {
        2 + usize::from(self.bottom > 0.0)
    }

    pub(super) fn validate(&self, check: &Check<'_>) -> Result<(), RecipeError> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        let (least, most) = self.foreground;
        check(
            "competition.foreground",
            format!("{:?}", self.foreground),
            inside(least) && inside(most) && least <= most,
            "[least, most], shares between 0 and 1",
        )?;
        check(
            "competition.frame",
            self.frame.to_string(),
            self.frame > 0.0 && self.frame < 0.5,
            "more than 0 and less than 0.5",
        )?;
        check(
            "competition.centre",
            self.centre.to_string(),
            (0.0..=0.5).contains(&self.centre),
            "a share from 0 to 0.5",
        )?;
        let (from, to) = self.surroundings;
        check(
            "competition.surroundings",
            format!("{:?}", self.surroundings),
            self.surroundings == (0.0, 0.0) || (0.0 <= from && from < to && to <= 1.0),
            "[from, to], shares with 0 <= from < to <= 1, or [0, 0]",
        )?;
        check(
            "competition.bottom",
            self.bottom.to_string(),
            self.bottom >= 0.0 && self.bottom + most < 1.0,
            "a share that leaves some to foreground and background",
        )?;
        for (field, value) in [("competition.block", self.block), ("competition.hidden", self.hidden)] {
            check(field, value.to_string(), inside(value), "a share between 0 and 1")?;
        }
        let (first, last) = self.timesteps;
        check(
            "competition.timesteps",
            format!("{:?}", self.timesteps),
            first >= 1 && first <= last,
            "[first, last] with 1 <= first <= last",
        )?;
        check(
            "competition.smoothing",
            self.smoothing.to_string(),
            (0.0..=0.25).contains(&self.smoothing),
            "a share from 0 to 0.25",
        )
    }
}

#[cfg(test)]
mod tests;

//! What is said of a data set and of each of its sequences.

use image::RgbImage;
use serde::Serialize;

use crate::evaluate::baselines::Line;
use crate::evaluate::series::Statistics;
use crate::training::watching::monitor::MaskFigures;

/// J (region similarity) and F (boundary) of one way to segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct VideoScores {
    /// Intersection over union of the object; 1 if both masks are empty.
    pub j: Statistics,
    /// The boundary measure, see [`crate::evaluate::boundary`].
    pub f: Statistics,
}

impl VideoScores {
    pub(super) fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            j: Statistics::mean(all.clone().map(|scores| scores.j)),
            f: Statistics::mean(all.map(|scores| scores.f)),
        }
    }
}

/// Scores on one sequence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SequenceReport {
    /// Its name.
    pub name: String,
    /// Frames that were scored.
    pub frames: usize,
    /// The model, one assignment of regions for the whole data set.
    pub model: VideoScores,
    /// The model, the best assignment for each frame and measure: an upper bound, not a result.
    pub oracle: VideoScores,
    /// What needs no model.
    pub baselines: Vec<Line<VideoScores>>,
    /// Mean over successive scored frames of 1 - IoU of the model's masks.
    pub flicker: f64,
    /// The same of the annotations: what the object's own motion amounts to.
    pub annotation_flicker: f64,
    /// Each object, by the region that was matched with it.
    pub objects: Vec<VideoScores>,
    /// Each object, by the piece of the foreground that was matched with it.
    pub pieces: Vec<VideoScores>,
}

/// Scores of a model on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DavisReport {
    /// First frames that were fitted on.
    pub fitted_frames: usize,
    /// Frames that were scored.
    pub scored_frames: usize,
    /// What the annotations were taken for.
    pub masks_taken_for: String,
    /// What was not read, each with the reason.
    pub left_out: Vec<String>,
    /// Where the assignment comes from: fitted, or named.
    pub assignment: String,
    /// Regions that are the object.
    pub foreground_regions: Vec<usize>,
    /// The model, one assignment of regions for the whole data set. The headline.
    pub model: VideoScores,
    /// The model, the best assignment for each frame and measure: an upper bound, not a result.
    pub oracle: VideoScores,
    /// Scores that need no model: three that never look at the picture, then two that do.
    pub baselines: Vec<Line<VideoScores>>,
    /// Mean over successive scored frames of 1 - IoU of the model's masks, then over sequences.
    pub flicker: f64,
    /// The same of the annotations.
    pub annotation_flicker: f64,
    /// Objects of all sequences.
    pub objects: usize,
    /// Means over objects, each by the region that was matched with it: DAVIS-2017's unsupervised measure.
    pub by_object: VideoScores,
    /// The same, by the connected piece of the foreground ([`factorseg_refine::instances`]) that was matched with it.
    pub by_piece: VideoScores,
    /// Passes of the network for a frame, without noise draws.
    pub passes: usize,
    /// Time of a frame from the decoded picture to masks at its size.
    pub milliseconds: f64,
    /// Figures of the masks.
    pub masks: MaskFigures,
    /// Each sequence.
    pub sequences: Vec<SequenceReport>,
    /// Of each sequence the frame in the middle of those that were scored, with the model's regions, `[height, width]`.
    #[serde(skip)]
    pub middle_frames: Vec<(RgbImage, Vec<u8>)>,
}

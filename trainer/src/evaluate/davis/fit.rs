//! What is fitted on the first frames: which regions are the object, and the baselines.

use anyhow::Result;
use factorseg_model::Engine;
use image::RgbImage;

use super::layout::{Frame, Layout, Sequence};
use crate::evaluate::assignment::{Assignment, Foreground, labels};
use crate::evaluate::baselines::FixedMask;
use crate::evaluate::files::open;
use crate::evaluate::metrics::Scores;
use crate::evaluate::picture_baselines::Ranks;
use crate::evaluate::segment::{Passes, segment};

/// What the first frames say.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Regions that are the object.
    pub assignment: Assignment,
    /// Where the assignment comes from: fitted, or named.
    pub source: String,
    /// Each sequence's first picture with the model's regions, `[height, width]`.
    pub first_frames: Vec<(RgbImage, Vec<u8>)>,
    pub(super) fixed: [(&'static str, FixedMask); 3],
    /// Share of a frame that is unlike its border.
    pub(super) share: f64,
}

/// Segments the first annotated frame of each sequence and fits, by mean J, what `foreground` leaves open and the baselines.
///
/// # Errors
/// If a file cannot be read, the engine fails, or `foreground` does not fit the model.
pub fn fit(engine: &mut dyn Engine, passes: &Passes, layout: &Layout, foreground: &Foreground) -> Result<Fitted> {
    let regions = engine.info().regions;
    let (mut first_frames, mut truths, mut small, mut ranks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for files in layout.sequences.iter().filter_map(Sequence::fitted) {
        let frame = Frame::annotated(open(&files.picture)?, files, &layout.masks)?;
        let map = segment(engine, std::slice::from_ref(&frame.picture), passes)?.remove(0);
        truths.push(frame.truth());
        small.push(frame.small_truth());
        ranks.push(Ranks::unlike_the_frame(&frame.picture));
        first_frames.push((frame.picture, labels(&map.probabilities, regions)));
    }
    let goal = |scores: &Scores| scores.iou;
    let assignment = foreground.assign(engine.info(), |assignment| {
        let frames = first_frames.iter().zip(&truths);
        Scores::mean(frames.map(|((_, regions), truth)| Scores::of(assignment.mask(regions), truth))).iou
    })?;
    Ok(Fitted {
        assignment,
        source: foreground.to_string(),
        fixed: FixedMask::fitted(&small, goal),
        share: Ranks::best_share(&ranks, &small, goal),
        first_frames,
    })
}

//! Scores of a model on video: of the foreground, by the protocol of DAVIS-2016, and of each object, by that of DAVIS-2017 for
//! unsupervised methods.
//!
//! The first annotated frame of each sequence is used to fit: which regions are the object, and the baselines. All scores are of
//! the frames after it (or of others, see [`Frames`]), at their own resolution. Means are over the frames of a sequence, then over sequences.

mod fit;
mod layout;
mod objects;
mod report;
mod tally;

use std::time::Instant;

use anyhow::Result;
use factorseg_model::{Engine, RegionMap};
use factorseg_refine::MotionModel;
use factorseg_refine::temporal::smooth;
use image::RgbImage;

use super::assignment::labels;
use super::baselines::Line;
use super::common_grid::CommonGrid;
use super::files::open;
use super::segment::{Passes, network_input, segment};

pub use fit::{Fitted, fit};
pub use layout::{Frame, FrameFiles, Frames, Layout, Sequence, read_layout};
pub use report::{DavisReport, SequenceReport, VideoScores};
use tally::{FixedMasks, Tally};

/// Frames that are segmented at once.
const BATCH: usize = 4;

/// What a frame's masks owe to the frames before it.
#[derive(Debug, Clone, Default)]
pub struct OverTime {
    /// Judges masks again by motion, if it is.
    pub motion: Option<MotionModel>,
    /// Share of the frame before in the probabilities ([`smooth`], at the frame's resolution).
    pub smoothing: f32,
}

impl OverTime {
    /// Whether frames are segmented that are not scored.
    fn looks_back(&self) -> bool {
        self.motion.is_some() || self.smoothing > 0.0
    }
}

/// Makes the masks of successive frames.
struct Successive<'a> {
    engine: &'a mut dyn Engine,
    passes: &'a Passes,
    over_time: OverTime,
    foreground: Vec<bool>,
    previous: Option<RegionMap>,
}

impl Successive<'_> {
    /// The first frame of a sequence comes.
    fn begin(&mut self) {
        if let Some(motion) = &mut self.over_time.motion {
            motion.reset();
        }
        self.previous = None;
    }

    fn segment(&mut self, pictures: &[RgbImage]) -> Result<Vec<RegionMap>> {
        let mut maps = segment(self.engine, pictures, self.passes)?;
        for (map, picture) in maps.iter_mut().zip(pictures) {
            if let Some(motion) = &mut self.over_time.motion {
                let (width, height) = (map.width, map.height);
                let frame = network_input(picture, MotionModel::frame_size(self.engine.input_size(width, height)));
                let judged = motion.refine(&frame, map, &self.foreground);
                *map = judged.resized(width, height);
            }
            if let Some(previous) = &self.previous {
                smooth(map, previous, self.over_time.smoothing);
            }
            self.previous = (self.over_time.smoothing > 0.0).then(|| map.clone());
        }
        Ok(maps)
    }
}

/// Scores the frames of each sequence that are to be scored; `progress` hears which sequence is done.
///
/// # Errors
/// If a file cannot be read or the engine fails.
pub fn score(
    engine: &mut dyn Engine,
    passes: &Passes,
    layout: &Layout,
    fitted: &Fitted,
    over_time: OverTime,
    mut progress: impl FnMut(&SequenceReport),
) -> Result<DavisReport> {
    let regions = engine.info().regions;
    let mut successive = Successive {
        foreground: (0..regions)
            .map(|region| fitted.assignment.holds(region as u8))
            .collect(),
        engine,
        passes,
        over_time,
        previous: None,
    };
    let mut common = CommonGrid::new(regions);
    let mut reports = Vec::with_capacity(layout.sequences.len());
    let (mut seconds, mut frames, mut scored_frames) = (0.0, 0, 0);
    let (mut fixed, mut middle_frames) = (FixedMasks::default(), Vec::new());
    for sequence in &layout.sequences {
        let mut tally = Tally::new(fitted, regions, sequence.objects(&layout.masks)?);
        successive.begin();
        let needed: Vec<&FrameFiles> = sequence
            .frames
            .iter()
            .filter(|frame| frame.scored || successive.over_time.looks_back())
            .collect();
        let scored = || needed.iter().filter(|frame| frame.scored);
        let middle = scored().nth(scored().count() / 2).copied();
        for batch in needed.chunks(BATCH) {
            let pictures = batch
                .iter()
                .map(|files| open(&files.picture))
                .collect::<Result<Vec<RgbImage>>>()?;
            let start = Instant::now();
            let maps = successive.segment(&pictures)?;
            seconds += start.elapsed().as_secs_f64();
            frames += maps.len();
            let made = batch.iter().zip(pictures).zip(&maps);
            for ((files, picture), map) in made.filter(|((files, _), _)| files.scored) {
                let frame = Frame::annotated(picture, files, &layout.masks)?;
                common.add(map);
                fixed.fit(frame.size(), fitted);
                let labels = labels(&map.probabilities, regions);
                tally.add(&frame, &labels, fitted, &fixed);
                if Some(*files) == middle {
                    middle_frames.push((frame.picture, labels));
                }
                scored_frames += 1;
            }
        }
        let report = tally.report(&sequence.name);
        progress(&report);
        reports.push(report);
    }
    let names = reports.iter().take(1).flat_map(|report| &report.baselines);
    let mean = |value: fn(&SequenceReport) -> f64| reports.iter().map(value).sum::<f64>() / reports.len().max(1) as f64;
    Ok(DavisReport {
        fitted_frames: fitted.first_frames.len(),
        scored_frames,
        assignment: fitted.source.clone(),
        foreground_regions: fitted.assignment.regions(),
        model: VideoScores::mean(reports.iter().map(|report| report.model)),
        oracle: VideoScores::mean(reports.iter().map(|report| report.oracle)),
        baselines: names
            .enumerate()
            .map(|(index, line)| Line {
                what: line.what.clone(),
                scores: VideoScores::mean(reports.iter().map(|report| report.baselines[index].scores)),
            })
            .collect(),
        flicker: mean(|report| report.flicker),
        annotation_flicker: mean(|report| report.annotation_flicker),
        objects: reports.iter().map(|report| report.objects.len()).sum(),
        by_object: VideoScores::mean(reports.iter().flat_map(|report| report.objects.iter().copied())),
        by_piece: VideoScores::mean(reports.iter().flat_map(|report| report.pieces.iter().copied())),
        passes: passes.count(),
        milliseconds: 1e3 * seconds / frames.max(1) as f64,
        masks: common.figures(),
        masks_taken_for: layout.masks.to_string(),
        left_out: layout.left_out.clone(),
        sequences: reports,
        middle_frames,
    })
}

#[cfg(test)]
mod tests;

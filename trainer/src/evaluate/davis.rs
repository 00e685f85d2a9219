//! Foreground scores of a model on video, by the protocol of DAVIS-2016.
//!
//! The first annotated frame of each sequence is used to fit: which regions are the object, and the baselines. All scores are of
//! the frames after it, at their own resolution. Means are over the frames of a sequence, then over sequences.

mod fit;
mod layout;
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
pub use layout::{Frame, FrameFiles, Layout, Sequence, read_layout};
pub use report::{DavisReport, SequenceReport, VideoScores};
use tally::{FixedMasks, Tally};

/// Frames that are segmented at once.
const BATCH: usize = 4;

/// What a frame's masks owe to the frames before it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OverTime {
    /// Whether masks are judged again by motion ([`MotionModel`]).
    pub motion: bool,
    /// Share of the frame before in the probabilities ([`smooth`], at the frame's resolution).
    pub smoothing: f32,
}

impl OverTime {
    /// Whether frames are segmented that are not scored.
    fn looks_back(self) -> bool {
        self.motion || self.smoothing > 0.0
    }
}

/// Makes the masks of successive frames.
struct Successive<'a> {
    engine: &'a mut dyn Engine,
    passes: &'a Passes,
    over_time: OverTime,
    foreground: Vec<bool>,
    motion: MotionModel,
    previous: Option<RegionMap>,
}

impl Successive<'_> {
    /// The first frame of a sequence comes.
    fn begin(&mut self) {
        self.motion.reset();
        self.previous = None;
    }

    fn segment(&mut self, pictures: &[RgbImage]) -> Result<Vec<RegionMap>> {
        let mut maps = segment(self.engine, pictures, self.passes)?;
        for (map, picture) in maps.iter_mut().zip(pictures) {
            if self.over_time.motion {
                let (width, height) = (map.width, map.height);
                let frame = network_input(picture, MotionModel::frame_size(self.engine.input_size(width, height)));
                let judged = self.motion.refine(&frame, map, &self.foreground);
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
        motion: MotionModel::default(),
        previous: None,
    };
    let mut common = CommonGrid::new(regions);
    let mut reports = Vec::with_capacity(layout.sequences.len());
    let (mut seconds, mut frames, mut scored_frames) = (0.0, 0, 0);
    let (mut fixed, mut middle_frames) = (FixedMasks::default(), Vec::new());
    for sequence in &layout.sequences {
        let mut tally = Tally::new(fitted, regions);
        successive.begin();
        let needed: Vec<&FrameFiles> = sequence
            .frames
            .iter()
            .filter(|frame| frame.scored || over_time.looks_back())
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::evaluate::series::Statistics;
    use crate::evaluate::testing::{ByColour, davis_layout};

    fn evaluate(root: &Path, every: usize, foreground: &str) -> DavisReport {
        evaluate_over_time(root, every, foreground, OverTime::default())
    }

    fn evaluate_over_time(root: &Path, every: usize, foreground: &str, over_time: OverTime) -> DavisReport {
        let (mut engine, passes) = (ByColour::new(), Passes::single());
        let layout = read_layout(root, every).unwrap();
        let fitted = fit(&mut engine, &passes, &layout, &foreground.parse().unwrap()).unwrap();
        assert_eq!(fitted.first_frames.len(), 2);
        score(&mut engine, &passes, &layout, &fitted, over_time, |_| {}).unwrap()
    }

    #[test]
    fn a_perfect_segmenter_scores_one_and_flickers_like_the_annotations() {
        let root = davis_layout(4);
        let report = evaluate(root.path(), 1, "fit");
        assert_eq!((report.fitted_frames, report.scored_frames), (2, 8));
        assert_eq!(
            (report.foreground_regions.as_slice(), report.assignment.as_str()),
            (&[0, 1][..], "fitted")
        );
        let perfect = Statistics {
            mean: 1.0,
            recall: 1.0,
            decay: 0.0,
        };
        for scores in [report.model, report.oracle] {
            assert_eq!(scores, VideoScores { j: perfect, f: perfect });
        }
        // Half of the box stays: the union is one and a half boxes.
        assert!((report.annotation_flicker - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(report.flicker, report.annotation_flicker);
        // Masks that are sure of a change follow it, whatever the smoothing.
        let smoothing = OverTime {
            smoothing: 0.9,
            ..OverTime::default()
        };
        assert_eq!(evaluate_over_time(root.path(), 1, "fit", smoothing).model, report.model);
        assert!((report.baselines[0].scores.j.mean - 64.0 / 1536.0).abs() < 1e-12);
        assert_eq!(report.baselines[0].scores.f.mean, 0.0);
        assert!(report.baselines[2].scores.j.mean < 0.5, "{:?}", report.baselines[2]);
        assert_eq!(
            report.baselines[3].scores.j.mean, 1.0,
            "K-means tells the box from the ground"
        );
    }

    #[test]
    fn one_assignment_holds_for_all_sequences() {
        let root = davis_layout(0);
        // The test engine's checkpoint names green alone, so the red sequence is missed.
        let report = evaluate(root.path(), 2, "checkpoint");
        assert_eq!(
            (report.scored_frames, report.foreground_regions.as_slice()),
            (4, &[1][..])
        );
        assert_eq!(
            (report.sequences[0].model.j.mean, report.sequences[1].model.j.mean),
            (1.0, 0.0)
        );
        assert_eq!((report.model.j.mean, report.oracle.j.mean), (0.5, 1.0));
        assert_eq!((report.flicker, report.annotation_flicker), (0.0, 0.0));
    }

    /// Annotations of objects by number, with pixels that nobody judged: they count neither for nor against a mask.
    #[test]
    fn void_pixels_count_for_nothing() {
        let root = davis_layout(4);
        for path in ["green", "red"]
            .iter()
            .flat_map(|name| (0..5).map(move |i| format!("{name}/{i:05}.png")))
        {
            let path = root.path().join("Annotations/480p").join(path);
            let white = image::open(&path).unwrap().into_luma8();
            // The left quarter of each object is void, and so is a corner.
            let first = white.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] > 0).unwrap().0;
            let label = |x: u32, y: u32| match white.get_pixel(x, y).0[0] {
                0 if x < 4 && y < 4 => 255,
                0 => 0,
                _ if x < first + 2 => 255,
                _ => 3,
            };
            image::GrayImage::from_fn(48, 32, |x, y| image::Luma([label(x, y)]))
                .save(path)
                .unwrap();
        }
        let report = evaluate(root.path(), 1, "fit");
        assert!(
            report.masks_taken_for.contains("255 void"),
            "{}",
            report.masks_taken_for
        );
        assert_eq!((report.model.j.mean, report.model.f.mean), (1.0, 1.0));
        // Everything but the object and void is wrong in a mask of everything.
        let everything = report.baselines[0].scores.j.mean;
        assert!((everything - 48.0 / (1536.0 - 32.0)).abs() < 1e-12, "{everything}");
    }
}

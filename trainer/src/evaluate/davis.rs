//! Foreground scores of a model on video, by the protocol of DAVIS-2016.
//!
//! The first frame of each sequence is used to fit: which regions are the object, and the baselines. All scores are of
//! the frames after it, at their own resolution. Means are over the frames of a sequence, then over sequences.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use factorseg_model::Engine;
use image::RgbImage;
use serde::Serialize;

use super::assignment::{Assignment, Foreground, labels};
use super::baselines::{FixedMask, TruthMask};
use super::boundary::{Boundary, f_measure, radius};
use super::common_grid::CommonGrid;
use super::metrics::{Scores, Truth};
use super::picture_baselines::Ranks;
use super::segment::{Passes, segment};
use super::series::Statistics;
use crate::training::monitor::MaskFigures;

/// Frames that are segmented at once.
const BATCH: usize = 4;

/// The fixed masks are fitted on every so many pixels of a row, and rows.
const FIT_STEP: usize = 4;

/// A frame and its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFiles {
    /// The picture.
    pub picture: PathBuf,
    /// Its mask.
    pub annotation: PathBuf,
}

/// A sequence of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Name of its folder.
    pub name: String,
    /// In the order of their names.
    pub frames: Vec<FrameFiles>,
}

/// Finds the sequences below a folder with `JPEGImages/480p/NAME/00000.jpg` and `Annotations/480p/NAME/00000.png`, or
/// with a folder `DAVIS` that holds them. Of the frames after the first, every `every`th is kept.
///
/// # Errors
/// If there is no sequence, one has fewer than two frames, or a frame has no annotation.
pub fn read_layout(root: &Path, every: usize) -> Result<Vec<Sequence>> {
    let base = [root.to_owned(), root.join("DAVIS")]
        .into_iter()
        .find(|base| base.join("JPEGImages/480p").is_dir())
        .with_context(|| {
            format!(
                "no JPEGImages/480p in {}; expected JPEGImages/480p/NAME/00000.jpg and Annotations/480p/NAME/00000.png",
                root.display()
            )
        })?;
    let mut sequences = Vec::new();
    for folder in entries(&base.join("JPEGImages/480p"))?
        .into_iter()
        .filter(|path| path.is_dir())
    {
        let name = file_name(&folder);
        let annotations = base.join("Annotations/480p").join(&name);
        let mut frames = Vec::new();
        for (index, picture) in entries(&folder)?.into_iter().filter(|path| path.is_file()).enumerate() {
            if index > 0 && index % every.max(1) != 0 {
                continue;
            }
            let annotation = annotations.join(file_name(&picture)).with_extension("png");
            if !annotation.is_file() {
                bail!("no annotation {} for {}", annotation.display(), picture.display());
            }
            frames.push(FrameFiles { picture, annotation });
        }
        if frames.len() < 2 {
            bail!("{} has no frame after its first to score", folder.display());
        }
        sequences.push(Sequence { name, frames });
    }
    if sequences.is_empty() {
        bail!("no sequences in {}", base.join("JPEGImages/480p").display());
    }
    Ok(sequences)
}

/// What is in a folder, in the order of names, without hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if !file_name(&path).starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A decoded frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The picture.
    pub picture: RgbImage,
    /// `[height, width]`: whether the annotation has any object there.
    pub object: Vec<bool>,
}

impl Frame {
    /// Decodes a frame and its annotation. Every colour but black is the object.
    ///
    /// # Errors
    /// If a file is no image or the sizes differ.
    pub fn read(files: &FrameFiles) -> Result<Self> {
        let open = |path: &Path| {
            image::open(path)
                .map(image::DynamicImage::into_rgb8)
                .with_context(|| format!("cannot decode {}", path.display()))
        };
        let (picture, annotation) = (open(&files.picture)?, open(&files.annotation)?);
        if picture.dimensions() != annotation.dimensions() {
            bail!(
                "{} is {:?} and its annotation is {:?}; they must have the same size",
                files.picture.display(),
                picture.dimensions(),
                annotation.dimensions()
            );
        }
        let object = annotation.pixels().map(|pixel| pixel.0 != [0; 3]).collect();
        Ok(Self { picture, object })
    }

    fn size(&self) -> (usize, usize) {
        (self.picture.width() as usize, self.picture.height() as usize)
    }

    fn truth(&self) -> Vec<Truth> {
        self.object.iter().map(|inside| Truth::from(*inside)).collect()
    }

    /// The truth at a quarter of the size.
    fn small_truth(&self) -> (usize, usize, Vec<Truth>) {
        let (width, height) = self.size();
        let rows = (0..height).step_by(FIT_STEP);
        let truth = rows
            .clone()
            .flat_map(|y| (0..width).step_by(FIT_STEP).map(move |x| y * width + x))
            .map(|at| Truth::from(self.object[at]))
            .collect();
        (width.div_ceil(FIT_STEP), rows.len(), truth)
    }
}

/// What the first frames say.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Regions that are the object.
    pub assignment: Assignment,
    /// Where the assignment comes from: fitted, or named.
    pub source: String,
    /// Each sequence's first picture with the model's regions, `[height, width]`.
    pub first_frames: Vec<(RgbImage, Vec<u8>)>,
    fixed: [(&'static str, FixedMask); 3],
    /// Share of a frame that is unlike its border.
    share: f64,
}

/// Segments the first frame of each sequence and fits, by mean J, what `foreground` leaves open and the baselines.
///
/// # Errors
/// If a file cannot be read, the engine fails, or `foreground` does not fit the model.
pub fn fit(
    engine: &mut dyn Engine,
    passes: &Passes,
    sequences: &[Sequence],
    foreground: &Foreground,
) -> Result<Fitted> {
    let regions = engine.info().regions;
    let (mut first_frames, mut truths, mut small, mut ranks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for frame in sequences
        .iter()
        .filter_map(|sequence| sequence.frames.first())
        .map(Frame::read)
    {
        let frame = frame?;
        let map = segment(engine, std::slice::from_ref(&frame.picture), passes)?.remove(0);
        truths.push(frame.truth());
        small.push(frame.small_truth());
        ranks.push(Ranks::unlike_the_frame(&frame.picture));
        first_frames.push((frame.picture, labels(&map.probabilities, regions)));
    }
    let small: Vec<TruthMask<'_>> = small
        .iter()
        .map(|(width, height, pixels)| TruthMask {
            width: *width,
            height: *height,
            pixels,
        })
        .collect();
    let goal = |scores: &Scores| scores.iou;
    let assignment = foreground.assign(engine.info(), |assignment| {
        let scores = first_frames
            .iter()
            .zip(&truths)
            .map(|((_, regions), truth)| Scores::of(regions.iter().map(|region| assignment.holds(*region)), truth));
        Scores::mean(scores).iou
    })?;
    Ok(Fitted {
        assignment,
        source: foreground.to_string(),
        fixed: [
            ("all foreground", FixedMask::Everything),
            ("centred box, fitted", FixedMask::best_box(&small, goal)),
            (
                "best mask that ignores the image, fitted",
                FixedMask::best_mean_mask(&small, goal),
            ),
        ],
        share: Ranks::best_share(&ranks, &small, goal),
        first_frames,
    })
}

/// J (region similarity) and F (boundary) of one way to segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct VideoScores {
    /// Intersection over union of the object; 1 if both masks are empty.
    pub j: Statistics,
    /// The boundary measure, see [`super::boundary`].
    pub f: Statistics,
}

impl VideoScores {
    fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            j: Statistics::mean(all.clone().map(|scores| scores.j)),
            f: Statistics::mean(all.map(|scores| scores.f)),
        }
    }
}

/// A line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What was scored.
    pub what: String,
    /// Its scores.
    pub scores: VideoScores,
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
    pub baselines: Vec<Line>,
    /// Mean over successive scored frames of 1 - IoU of the model's masks.
    pub flicker: f64,
    /// The same of the annotations: what the object's own motion amounts to.
    pub annotation_flicker: f64,
}

/// Scores of a model on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DavisReport {
    /// First frames that were fitted on.
    pub fitted_frames: usize,
    /// Frames that were scored.
    pub scored_frames: usize,
    /// Where the assignment comes from: fitted, or named.
    pub assignment: String,
    /// Regions that are the object.
    pub foreground_regions: Vec<usize>,
    /// The model, one assignment of regions for the whole data set. The headline.
    pub model: VideoScores,
    /// The model, the best assignment for each frame and measure: an upper bound, not a result.
    pub oracle: VideoScores,
    /// Scores that need no model: three that never look at the picture, then two that do.
    pub baselines: Vec<Line>,
    /// Mean over successive scored frames of 1 - IoU of the model's masks, then over sequences.
    pub flicker: f64,
    /// The same of the annotations.
    pub annotation_flicker: f64,
    /// Passes of the network for a frame, without noise draws.
    pub passes: usize,
    /// Time of a frame from the decoded picture to masks at its size.
    pub milliseconds: f64,
    /// Figures of the masks.
    pub masks: MaskFigures,
    /// Each sequence.
    pub sequences: Vec<SequenceReport>,
}

/// Scores every frame after the first of each sequence; `progress` hears which sequence is done.
///
/// # Errors
/// If a file cannot be read or the engine fails.
pub fn score(
    engine: &mut dyn Engine,
    passes: &Passes,
    sequences: &[Sequence],
    fitted: &Fitted,
    mut progress: impl FnMut(&SequenceReport),
) -> Result<DavisReport> {
    let regions = engine.info().regions;
    let mut common = CommonGrid::new(regions);
    let mut reports = Vec::with_capacity(sequences.len());
    let (mut seconds, mut scored_frames) = (0.0, 0);
    let mut fixed = FixedMasks::default();
    for sequence in sequences {
        let mut tally = Tally::new(fitted, regions);
        for batch in sequence.frames.get(1..).unwrap_or_default().chunks(BATCH) {
            let frames = batch.iter().map(Frame::read).collect::<Result<Vec<Frame>>>()?;
            let pictures: Vec<RgbImage> = frames.iter().map(|frame| frame.picture.clone()).collect();
            let start = Instant::now();
            let maps = segment(engine, &pictures, passes)?;
            seconds += start.elapsed().as_secs_f64();
            for (frame, map) in frames.iter().zip(maps) {
                common.add(&map.probabilities, map.width, map.height);
                fixed.fit(frame.size(), fitted);
                tally.add(frame, &labels(&map.probabilities, regions), fitted, &fixed);
                scored_frames += 1;
            }
        }
        let report = tally.report(&sequence.name);
        progress(&report);
        reports.push(report);
    }
    let baselines = reports.first().map_or(0, |report| report.baselines.len());
    let mean = |value: fn(&SequenceReport) -> f64| reports.iter().map(value).sum::<f64>() / reports.len().max(1) as f64;
    Ok(DavisReport {
        fitted_frames: fitted.first_frames.len(),
        scored_frames,
        assignment: fitted.source.clone(),
        foreground_regions: fitted.assignment.regions(),
        model: VideoScores::mean(reports.iter().map(|report| report.model)),
        oracle: VideoScores::mean(reports.iter().map(|report| report.oracle)),
        baselines: (0..baselines)
            .map(|index| Line {
                what: reports[0].baselines[index].what.clone(),
                scores: VideoScores::mean(reports.iter().map(|report| report.baselines[index].scores)),
            })
            .collect(),
        flicker: mean(|report| report.flicker),
        annotation_flicker: mean(|report| report.annotation_flicker),
        passes: passes.count(),
        milliseconds: 1e3 * seconds / scored_frames.max(1) as f64,
        masks: common.figures(),
        sequences: reports,
    })
}

/// The fixed masks and their outlines at the size seen last.
#[derive(Default)]
struct FixedMasks {
    size: (usize, usize),
    masks: Vec<(Vec<bool>, Boundary)>,
}

impl FixedMasks {
    fn fit(&mut self, size: (usize, usize), fitted: &Fitted) {
        if self.size != size || self.masks.is_empty() {
            let (width, height) = size;
            self.size = size;
            self.masks = fitted
                .fixed
                .iter()
                .map(|(_, mask)| {
                    let mask: Vec<bool> = mask.pixels(width, height).collect();
                    let boundary = Boundary::of(&mask, width, height, radius(width, height));
                    (mask, boundary)
                })
                .collect();
        }
    }
}

/// J and F of frames.
#[derive(Default)]
struct Measured {
    j: Vec<f64>,
    f: Vec<f64>,
}

impl Measured {
    fn add(&mut self, (j, f): (f64, f64)) {
        self.j.push(j);
        self.f.push(f);
    }

    fn scores(&self) -> VideoScores {
        VideoScores {
            j: Statistics::of(&self.j),
            f: Statistics::of(&self.f),
        }
    }
}

/// What is summed up over a sequence.
struct Tally {
    all: Vec<Assignment>,
    model: Measured,
    oracle: Measured,
    baselines: Vec<(&'static str, Measured)>,
    flicker: Flicker,
    annotation_flicker: Flicker,
}

impl Tally {
    fn new(fitted: &Fitted, regions: usize) -> Self {
        let names = fitted.fixed.iter().map(|(name, _)| *name);
        let looking = ["K-means on colour, K=2", "unlike the frame's colours, share fitted"];
        Self {
            all: Assignment::all(regions),
            model: Measured::default(),
            oracle: Measured::default(),
            baselines: names.chain(looking).map(|name| (name, Measured::default())).collect(),
            flicker: Flicker::default(),
            annotation_flicker: Flicker::default(),
        }
    }

    fn add(&mut self, frame: &Frame, regions: &[u8], fitted: &Fitted, fixed: &FixedMasks) {
        let (width, height) = frame.size();
        let truth = frame.truth();
        let outline = |mask: &[bool]| Boundary::of(mask, width, height, radius(width, height));
        let truth_outline = outline(&frame.object);
        let against_truth = |mask: &[bool], boundary: &Boundary| {
            let j = Scores::of(mask.iter().copied(), &truth).iou;
            (j, f_measure(boundary, &truth_outline))
        };
        let measure = |mask: &[bool]| against_truth(mask, &outline(mask));
        let of = |assignment: Assignment| -> Vec<bool> { regions.iter().map(|r| assignment.holds(*r)).collect() };

        let mask = of(fitted.assignment);
        let found = measure(&mask);
        self.model.add(found);
        let others = self.all.iter().filter(|assignment| **assignment != fitted.assignment);
        self.oracle.add(others.fold(found, |best, assignment| {
            let (j, f) = measure(&of(*assignment));
            (best.0.max(j), best.1.max(f))
        }));
        self.flicker.add(mask);
        self.annotation_flicker.add(frame.object.clone());

        let looking = [
            Ranks::k_means(&frame.picture).mask(0.5, width, height),
            Ranks::unlike_the_frame(&frame.picture).mask(fitted.share, width, height),
        ];
        let of_fixed = fixed.masks.iter().map(|(mask, boundary)| against_truth(mask, boundary));
        let scores = of_fixed.chain(looking.iter().map(|mask| measure(mask)));
        for ((_, baseline), scores) in self.baselines.iter_mut().zip(scores) {
            baseline.add(scores);
        }
    }

    fn report(self, name: &str) -> SequenceReport {
        SequenceReport {
            name: name.to_owned(),
            frames: self.model.j.len(),
            model: self.model.scores(),
            oracle: self.oracle.scores(),
            baselines: self
                .baselines
                .iter()
                .map(|(what, measured)| Line {
                    what: (*what).to_owned(),
                    scores: measured.scores(),
                })
                .collect(),
            flicker: self.flicker.mean(),
            annotation_flicker: self.annotation_flicker.mean(),
        }
    }
}

/// 1 - IoU of each mask and the one before it.
#[derive(Default)]
struct Flicker {
    last: Option<Vec<bool>>,
    sum: f64,
    pairs: u64,
}

impl Flicker {
    fn add(&mut self, mask: Vec<bool>) {
        if let Some(last) = self.last.as_ref().filter(|last| last.len() == mask.len()) {
            let (mut both, mut either) = (0u64, 0u64);
            for (a, b) in last.iter().zip(&mask) {
                both += u64::from(*a && *b);
                either += u64::from(*a || *b);
            }
            self.sum += if either == 0 {
                0.0
            } else {
                1.0 - both as f64 / either as f64
            };
            self.pairs += 1;
        }
        self.last = Some(mask);
    }

    /// 0 for fewer than two masks.
    fn mean(&self) -> f64 {
        self.sum / self.pairs.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::testing::ByColour;
    use image::{GrayImage, Luma, Rgb};

    /// Two sequences of five frames: a red or green box of 8 by 8 that moves by `step` pixels over 48 by 32.
    fn layout(step: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, colour) in [("green", [0, 255, 0]), ("red", [255, 0, 0])] {
            let folder = |part: &str| {
                let folder = root.path().join(part).join("480p").join(name);
                fs::create_dir_all(&folder).unwrap();
                folder
            };
            let (pictures, annotations) = (folder("JPEGImages"), folder("Annotations"));
            for i in 0..5 {
                let inside = |x: u32, y: u32| (10 + i * step..18 + i * step).contains(&x) && (12..20).contains(&y);
                RgbImage::from_fn(48, 32, |x, y| Rgb(if inside(x, y) { colour } else { [0, 0, 9] }))
                    .save(pictures.join(format!("{i:05}.png")))
                    .unwrap();
                GrayImage::from_fn(48, 32, |x, y| Luma([u8::from(inside(x, y)) * 255]))
                    .save(annotations.join(format!("{i:05}.png")))
                    .unwrap();
            }
        }
        root
    }

    fn evaluate(root: &Path, every: usize, foreground: &str) -> DavisReport {
        let (mut engine, passes) = (ByColour::new(), Passes::single());
        let sequences = read_layout(root, every).unwrap();
        let fitted = fit(&mut engine, &passes, &sequences, &foreground.parse().unwrap()).unwrap();
        assert_eq!(fitted.first_frames.len(), 2);
        score(&mut engine, &passes, &sequences, &fitted, |_| {}).unwrap()
    }

    #[test]
    fn a_perfect_segmenter_scores_one_and_flickers_like_the_annotations() {
        let root = layout(4);
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
        let root = layout(0);
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

    #[test]
    fn layouts_are_checked() {
        let root = layout(1);
        let message = |path: &Path, every| format!("{:#}", read_layout(path, every).unwrap_err());
        assert!(message(&root.path().join("JPEGImages"), 1).contains("JPEGImages/480p/NAME/00000.jpg"));
        assert!(message(root.path(), 5).contains("no frame after its first"));
        fs::remove_file(root.path().join("Annotations/480p/red/00003.png")).unwrap();
        assert!(message(root.path(), 1).contains("00003.png"));
        assert_eq!(read_layout(root.path(), 2).unwrap()[1].frames.len(), 3);
    }
}

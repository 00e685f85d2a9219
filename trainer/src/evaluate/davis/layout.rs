//! The files of DAVIS: sequences of frames with their annotations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use image::RgbImage;

use crate::data::folder::Kind;
use crate::data::labels::LabelMap;
use crate::data::masks::{Mark, Masks};
use crate::evaluate::baselines::TruthMask;
use crate::evaluate::files::{entries, file_name, open_labels, survey};
use crate::evaluate::metrics::Truth;

/// The fixed masks are fitted on every so many pixels of a row, and rows.
const FIT_STEP: usize = 4;

/// Folders between `JPEGImages` and the sequences, in the order in which they are looked for.
const LEVELS: [&str; 4] = ["480p", "1080p", "Full-Resolution", ""];

/// Folders of annotations.
const ANNOTATIONS: [&str; 2] = ["Annotations", "Annotations_unsupervised"];

/// Which annotated frames of a sequence are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Frames {
    /// All after the first, which is fitted on
    #[default]
    AfterFirst,
    /// All but the first and the last: the toolkit of DAVIS-2016, and that of 2017 for semi-supervised methods
    Inner,
    /// All: the toolkit of DAVIS-2017 for unsupervised methods. What is fitted on the first frame is scored on it, too
    All,
}

impl Frames {
    fn holds(self, index: usize, count: usize) -> bool {
        match self {
            Self::AfterFirst => index > 0,
            Self::Inner => index > 0 && index + 1 < count,
            Self::All => true,
        }
    }
}

/// A frame and its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFiles {
    /// The picture.
    pub picture: PathBuf,
    /// Its mask, if it has one; read where the frame is scored or fitted on.
    pub annotation: Option<PathBuf>,
    /// Whether it is scored, or only what a scored frame follows.
    pub scored: bool,
}

/// A sequence of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Name of its folder.
    pub name: String,
    /// In the order of their names; at least one is scored.
    pub frames: Vec<FrameFiles>,
}

impl Sequence {
    /// The first annotated frame, which is fitted on.
    pub(super) fn fitted(&self) -> Option<&FrameFiles> {
        self.frames.iter().find(|frame| frame.annotation.is_some())
    }

    /// Objects of the first annotation, whose numbers go on from 1.
    pub(super) fn objects(&self, masks: &Masks) -> Result<usize> {
        let Some(path) = self.fitted().and_then(|frame| frame.annotation.as_ref()) else {
            return Ok(0);
        };
        let numbers = numbers(&open_labels(path)?, masks);
        Ok(numbers.into_iter().max().unwrap_or(0).into())
    }
}

/// What is read of a data set.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where the frames are.
    pub frames: PathBuf,
    /// Sequences with something to score.
    pub sequences: Vec<Sequence>,
    /// What is not read, each with the reason.
    pub left_out: Vec<String>,
    /// What the annotations are taken for.
    pub masks: Masks,
}

/// Finds the sequences below a folder with `JPEGImages/480p/NAME/00000.jpg` and `Annotations/480p/NAME/00000.png`, or with
/// a folder `DAVIS` that holds them; `1080p` and `Full-Resolution` serve as well, and so does no folder between (YouTube-VOS,
/// MOSE). Of the annotated frames that `which` names, every `every`th is scored.
///
/// # Errors
/// If there is no sequence with a frame to score, or annotations cannot be read or are ambiguous.
pub fn read_layout(root: &Path, every: usize, which: Frames) -> Result<Layout> {
    let bases = [root.to_owned(), root.join("DAVIS")];
    let places = bases.iter().flat_map(|base| LEVELS.map(|level| (base, level)));
    let (base, level) = places
        .filter(|(base, level)| base.join("JPEGImages").join(level).is_dir())
        .find(|(base, level)| ANNOTATIONS.iter().any(|folder| base.join(folder).join(level).is_dir()))
        .with_context(|| {
            format!(
                "no JPEGImages/480p beside Annotations/480p in {}; expected JPEGImages/480p/NAME/00000.jpg and \
                 Annotations/480p/NAME/00000.png, where 480p may be 1080p, Full-Resolution or left out",
                root.display()
            )
        })?;
    let frames = base.join("JPEGImages").join(level);
    let annotations: Vec<PathBuf> = ANNOTATIONS.iter().map(|folder| base.join(folder).join(level)).collect();
    let (mut sequences, mut left_out) = (Vec::new(), Vec::new());
    for folder in entries(&frames)?.into_iter().filter(|path| path.is_dir()) {
        let name = file_name(&folder);
        let annotated = annotations.iter().map(|all| all.join(&name)).find(|path| path.is_dir());
        let annotated = annotated.map_or(Ok(Vec::new()), |path| pictures(&path))?;
        match sequence(&name, &pictures(&folder)?, annotated, (every, which), &mut left_out) {
            Ok(sequence) => sequences.push(sequence),
            Err(reason) => left_out.push(format!("{name}: {reason}")),
        }
    }
    if sequences.is_empty() {
        bail!("no sequence to score in {}: {}", frames.display(), left_out.join("; "));
    }
    let read = sequences.iter().flat_map(|sequence| {
        let scored = sequence.frames.iter().filter(|frame| frame.scored);
        sequence.fitted().into_iter().chain(scored)
    });
    let masks = survey(read.filter_map(|frame| frame.annotation.as_ref()))?;
    Ok(Layout {
        frames,
        sequences,
        left_out,
        masks,
    })
}

/// The pictures in a folder, in the order of names.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| path.is_file() && Kind::of(&file_name(path)) == Some(Kind::Image));
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A sequence of these frames and annotations; an error says why it is left out.
fn sequence(
    name: &str,
    pictures: &[PathBuf],
    annotations: Vec<PathBuf>,
    (every, which): (usize, Frames),
    left_out: &mut Vec<String>,
) -> Result<Sequence, String> {
    let mut by_name: BTreeMap<String, PathBuf> = annotations.into_iter().map(|path| (stem(&path), path)).collect();
    let count = pictures
        .iter()
        .filter(|picture| by_name.contains_key(&stem(picture)))
        .count();
    let mut annotated = 0;
    let frames: Vec<FrameFiles> = pictures
        .iter()
        .map(|picture| {
            let annotation = by_name.remove(&stem(picture));
            let scored = annotation.is_some() && which.holds(annotated, count) && annotated % every.max(1) == 0;
            annotated += usize::from(annotation.is_some());
            FrameFiles {
                picture: picture.clone(),
                annotation,
                scored,
            }
        })
        .collect();
    if annotated == 0 {
        return Err(format!("none of its {} frames has an annotation", frames.len()));
    }
    if !frames.iter().any(|frame| frame.scored) {
        return Err(format!(
            "{annotated} of its {} frames are annotated, and there is no frame after its first to score",
            frames.len()
        ));
    }
    if let Some(first) = frames.iter().find(|frame| frame.annotation.is_none()) {
        let (count, all) = (frames.len() - annotated, frames.len());
        let first = file_name(&first.picture);
        left_out.push(format!(
            "{name}: {count} of {all} frames have no annotation, such as {first}; they are not scored"
        ));
    }
    if let Some(first) = by_name.values().next() {
        let (count, first) = (by_name.len(), file_name(first));
        left_out.push(format!("{name}: {count} annotations have no frame, such as {first}"));
    }
    Ok(Sequence {
        name: name.to_owned(),
        frames,
    })
}

/// `[height, width]`: the number of the object at each pixel, 0 for none. White (of 8 bits or 16) is no number but one object, and
/// so is a colour.
fn numbers(annotation: &LabelMap, masks: &Masks) -> Vec<u8> {
    let number = |mark: Mark, value: u16| match (mark, u8::try_from(value)) {
        (Mark::Object, Ok(value @ 1..=254)) => value,
        (Mark::Object, _) => 1,
        _ => 0,
    };
    let marks = masks.marks(annotation);
    marks
        .into_iter()
        .zip(&annotation.values)
        .map(|(mark, value)| number(mark, *value))
        .collect()
}

/// A decoded frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The picture.
    pub picture: RgbImage,
    /// `[height, width]`: whether the annotation has any object there.
    pub object: Vec<bool>,
    /// `[height, width]`: the number of the object there, from 1; 0 where there is none.
    pub numbers: Vec<u8>,
    /// `[height, width]`: what nobody judged, which counts for no mask; empty if all is judged.
    pub void: Vec<bool>,
}

impl Frame {
    /// Decodes the annotation of a frame whose picture is there. Every label but 0 (black) is the object.
    ///
    /// # Errors
    /// If the annotation is missing or no map of labels, or the sizes differ.
    pub fn annotated(picture: RgbImage, files: &FrameFiles, masks: &Masks) -> Result<Self> {
        let path = files.annotation.as_deref();
        let path = path.with_context(|| format!("no annotation for {}", files.picture.display()))?;
        let annotation = open_labels(path)?;
        let size = (annotation.width as u32, annotation.height as u32);
        if picture.dimensions() != size {
            bail!(
                "{} is {:?} and its annotation is {size:?}; they must have the same size",
                files.picture.display(),
                picture.dimensions(),
            );
        }
        let marks = masks.marks(&annotation);
        let mut void: Vec<bool> = marks.iter().map(|mark| *mark == Mark::Void).collect();
        if !void.contains(&true) {
            void.clear();
        }
        Ok(Self {
            picture,
            numbers: numbers(&annotation, masks),
            object: marks.into_iter().map(|mark| mark == Mark::Object).collect(),
            void,
        })
    }

    /// A mask without what nobody judged.
    pub(super) fn judged(&self, mut mask: Vec<bool>) -> Vec<bool> {
        mask.iter_mut()
            .zip(&self.void)
            .for_each(|(inside, void)| *inside &= !void);
        mask
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.picture.width() as usize, self.picture.height() as usize)
    }

    pub(super) fn truth(&self) -> Vec<Truth> {
        (0..self.object.len()).map(|at| self.truth_at(at)).collect()
    }

    fn truth_at(&self, at: usize) -> Truth {
        if self.void.get(at) == Some(&true) {
            Truth::Ignored
        } else {
            Truth::from(self.object[at])
        }
    }

    /// The truth at a quarter of the size.
    pub(super) fn small_truth(&self) -> TruthMask<'static> {
        let (width, height) = self.size();
        let rows = (0..height).step_by(FIT_STEP);
        let places = rows.flat_map(|y| (0..width).step_by(FIT_STEP).map(move |x| y * width + x));
        TruthMask {
            width: width.div_ceil(FIT_STEP),
            height: height.div_ceil(FIT_STEP),
            pixels: places.map(|at| self.truth_at(at)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;

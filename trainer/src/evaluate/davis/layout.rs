//! The files of DAVIS: sequences of frames with their annotations.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::RgbImage;

use crate::evaluate::baselines::TruthMask;
use crate::evaluate::files::{entries, file_name, open};
use crate::evaluate::metrics::Truth;

/// The fixed masks are fitted on every so many pixels of a row, and rows.
const FIT_STEP: usize = 4;

/// A frame and its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFiles {
    /// The picture.
    pub picture: PathBuf,
    /// Its mask; read where the frame is scored or fitted on.
    pub annotation: PathBuf,
    /// Whether it is scored, or only what a scored frame follows.
    pub scored: bool,
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
/// with a folder `DAVIS` that holds them. Of the frames after the first, every `every`th is scored.
///
/// # Errors
/// If there is no sequence, one has no frame to score, or a frame whose annotation is needed has none.
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
            let annotation = annotations.join(file_name(&picture)).with_extension("png");
            let scored = index > 0 && index % every.max(1) == 0;
            // The first frame is fitted on.
            if (scored || index == 0) && !annotation.is_file() {
                bail!("no annotation {} for {}", annotation.display(), picture.display());
            }
            frames.push(FrameFiles {
                picture,
                annotation,
                scored,
            });
        }
        if !frames.iter().any(|frame| frame.scored) {
            bail!("{} has no frame after its first to score", folder.display());
        }
        sequences.push(Sequence { name, frames });
    }
    if sequences.is_empty() {
        bail!("no sequences in {}", base.join("JPEGImages/480p").display());
    }
    Ok(sequences)
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
    /// Decodes the annotation of a frame whose picture is there. Every colour but black is the object.
    ///
    /// # Errors
    /// If the annotation is no image or the sizes differ.
    pub fn annotated(picture: RgbImage, files: &FrameFiles) -> Result<Self> {
        let annotation = open(&files.annotation)?.into_rgb8();
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

    pub(super) fn size(&self) -> (usize, usize) {
        (self.picture.width() as usize, self.picture.height() as usize)
    }

    pub(super) fn truth(&self) -> Vec<Truth> {
        self.object.iter().map(|inside| Truth::from(*inside)).collect()
    }

    /// The truth at a quarter of the size.
    pub(super) fn small_truth(&self) -> TruthMask<'static> {
        let (width, height) = self.size();
        let rows = (0..height).step_by(FIT_STEP);
        let places = rows.flat_map(|y| (0..width).step_by(FIT_STEP).map(move |x| y * width + x));
        TruthMask {
            width: width.div_ceil(FIT_STEP),
            height: height.div_ceil(FIT_STEP),
            pixels: places.map(|at| Truth::from(self.object[at])).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::testing::davis_layout;

    #[test]
    fn layouts_are_checked() {
        let root = davis_layout(1);
        let message = |path: &Path, every| format!("{:#}", read_layout(path, every).unwrap_err());
        assert!(message(&root.path().join("JPEGImages"), 1).contains("JPEGImages/480p/NAME/00000.jpg"));
        assert!(message(root.path(), 5).contains("no frame after its first"));
        std::fs::remove_file(root.path().join("Annotations/480p/red/00003.png")).unwrap();
        assert!(message(root.path(), 1).contains("00003.png"));
        let scored = |frames: &[FrameFiles]| frames.iter().filter(|frame| frame.scored).count();
        assert_eq!(scored(&read_layout(root.path(), 2).unwrap()[1].frames), 2);
    }
}

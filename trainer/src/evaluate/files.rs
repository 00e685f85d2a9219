//! The files of data sets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use image::RgbImage;

use crate::data::labels::LabelMap;
use crate::data::masks::{Masks, Survey};
use crate::data::picture::open_picture;

/// What is in a folder, in the order of names, without hidden files.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
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

pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Decodes a picture, upright.
pub fn open(path: &Path) -> Result<RgbImage> {
    let picture = open_picture(path).with_context(|| path.display().to_string())?;
    Ok(picture.into_rgb8())
}

/// Reads a map of labels.
pub fn open_labels(path: &Path) -> Result<LabelMap> {
    LabelMap::open(path).with_context(|| path.display().to_string())
}

/// Looks at all masks of a data set and says what they are taken for.
pub fn survey<P: AsRef<Path>>(masks: impl IntoIterator<Item = P>) -> Result<Masks> {
    let mut survey = Survey::default();
    for path in masks {
        let path = path.as_ref();
        let added = survey.add(&open_labels(path)?);
        added.map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
    }
    survey
        .masks()
        .map_err(|reason| anyhow!("cannot tell what the masks mean: {reason}"))
}

//! Pictures and their maps (masks, parts), in two folders with files of the same names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;

use super::files::{entries, open, open_labels};
use crate::data::folder::Kind;
use crate::data::labels::LabelMap;

/// The pictures of a data set and their maps, as files.
#[derive(Debug)]
pub struct Pairs {
    /// Each picture with its map, in the order of names.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Files beside them that are no pictures.
    pub skipped: Vec<PathBuf>,
}

impl Pairs {
    /// Lists the pictures in `folder/images` and their maps in `folder/maps`; the first `limit` of them if given.
    ///
    /// # Errors
    /// If a folder is missing, there are no pictures, one has no map, or two have the same name.
    pub fn list(folder: &Path, maps: &str, limit: Option<usize>) -> Result<Self> {
        let map_folder = folder.join(maps);
        let mut skipped = Vec::new();
        let mut list = |folder: &Path| {
            files(folder, &mut skipped).with_context(|| format!("a data set holds images/ and {maps}/"))
        };
        let (images, maps) = (list(&folder.join("images"))?, list(&map_folder)?);
        ensure!(
            !images.is_empty(),
            "no pictures in {}; each needs a map of the same name in {}",
            folder.join("images").display(),
            map_folder.display()
        );
        let pair = |(name, picture): (String, PathBuf)| {
            let map = maps
                .get(&name)
                .with_context(|| format!("no file in {} for {}", map_folder.display(), picture.display()))?;
            Ok((picture, map.clone()))
        };
        let wanted = images.into_iter().take(limit.unwrap_or(usize::MAX));
        Ok(Self {
            files: wanted.map(pair).collect::<Result<_>>()?,
            skipped,
        })
    }

    /// Number of pictures, at least one.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Reads picture `index`, upright, and its map.
    ///
    /// # Errors
    /// If a file cannot be decoded or the sizes differ.
    pub fn read(&self, index: usize) -> Result<(RgbImage, LabelMap)> {
        let (picture, map) = &self.files[index];
        let (pixels, labels) = (open(picture)?, open_labels(map)?);
        let (size, of_map) = (pixels.dimensions(), (labels.width as u32, labels.height as u32));
        ensure!(
            size == of_map,
            "{} is {size:?} and its map {of_map:?}; they must have the same size{}",
            picture.display(),
            if size == (of_map.1, of_map.0) {
                ": pictures are turned as their EXIF data says, so their maps have to be upright"
            } else {
                ""
            }
        );
        Ok((pixels, labels))
    }
}

/// The pictures of a folder by name without ending.
fn files(folder: &Path, skipped: &mut Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_file()) {
        if Kind::of(&path.to_string_lossy()) != Some(Kind::Image) {
            skipped.push(path);
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(other) = found.insert(stem, path.clone()) {
            bail!(
                "{} and {} have the same name: which is meant?",
                other.display(),
                path.display()
            );
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::GrayImage;

    use super::*;

    #[test]
    fn files_pair_by_name_and_size() {
        let data = tempfile::tempdir().unwrap();
        let read = |limit| {
            let pairs = Pairs::list(data.path(), "maps", limit)?;
            (0..pairs.len())
                .map(|index| pairs.read(index))
                .collect::<Result<Vec<_>>>()
        };
        let error = |limit| format!("{:#}", read(limit).unwrap_err());
        fs::create_dir(data.path().join("images")).unwrap();
        assert!(error(None).contains("images/ and maps/"));
        fs::create_dir(data.path().join("maps")).unwrap();
        assert!(error(None).contains("no pictures in"));
        for (name, side) in [("b", 3), ("a", 2), ("c", 4)] {
            RgbImage::new(side, 2)
                .save(data.path().join(format!("images/{name}.png")))
                .unwrap();
            GrayImage::new(side, 2)
                .save(data.path().join(format!("maps/{name}.bmp")))
                .unwrap();
        }
        fs::write(data.path().join("images/.hidden"), "").unwrap();
        // What Windows leaves in a folder.
        for name in ["images/Thumbs.db", "images/desktop.ini", "maps/Thumbs.db"] {
            fs::write(data.path().join(name), "no picture").unwrap();
        }
        assert_eq!(Pairs::list(data.path(), "maps", None).unwrap().skipped.len(), 3);
        // In the order of names.
        let widths = |limit| -> Vec<u32> { read(limit).unwrap().iter().map(|pair| pair.0.width()).collect() };
        assert_eq!((widths(None), widths(Some(2))), (vec![2, 3, 4], vec![2, 3]));
        GrayImage::new(3, 3).save(data.path().join("maps/c.bmp")).unwrap();
        assert!(error(None).contains("same size") && read(Some(2)).is_ok());
        fs::remove_file(data.path().join("maps/b.bmp")).unwrap();
        assert!(error(None).contains("b.png") && read(Some(1)).is_ok());
        fs::write(data.path().join("maps/a.bmp"), "no picture").unwrap();
        assert!(error(Some(1)).contains("a.bmp"));
        fs::copy(data.path().join("images/a.png"), data.path().join("images/a.jpg")).unwrap();
        assert!(error(None).contains("a.jpg") && error(None).contains("same name"));
    }
}

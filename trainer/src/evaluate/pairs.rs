//! Pictures and their maps (masks, parts), in two folders with files of the same names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{GrayImage, RgbImage};

use super::files::{entries, open};

/// A picture and its map, of the same size.
#[derive(Debug)]
pub struct Pair {
    /// The picture.
    pub picture: RgbImage,
    /// The map.
    pub map: GrayImage,
}

/// Reads the pictures in `folder/images` and their maps in `folder/maps`, in the order of names, one at a time; the first
/// `limit` of them if given.
///
/// # Errors
/// If a folder is missing or there are no pictures; of a pair, if a picture has no map, a file cannot be decoded, or the
/// sizes differ.
pub fn read_pairs(
    folder: &Path,
    maps: &str,
    limit: Option<usize>,
) -> Result<impl Iterator<Item = Result<Pair>> + use<>> {
    let map_folder = folder.join(maps);
    let list = |folder: &Path| {
        files(folder).with_context(|| format!("cannot read {}; a data set holds images/ and {maps}/", folder.display()))
    };
    let (images, maps) = (list(&folder.join("images"))?, list(&map_folder)?);
    ensure!(
        !images.is_empty(),
        "no files in {}; each needs one of the same name in {}",
        folder.join("images").display(),
        map_folder.display()
    );
    Ok(images
        .into_iter()
        .take(limit.unwrap_or(usize::MAX))
        .map(move |(name, path)| {
            let map = maps
                .get(&name)
                .with_context(|| format!("no file in {} for {}", map_folder.display(), path.display()))?;
            let (picture, map) = (open(&path)?.into_rgb8(), open(map)?.into_luma8());
            ensure!(
                picture.dimensions() == map.dimensions(),
                "{} is {:?} and its map {:?}; they must have the same size",
                path.display(),
                picture.dimensions(),
                map.dimensions()
            );
            Ok(Pair { picture, map })
        }))
}

/// The files of a folder by name without ending.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = entries(folder)?.into_iter().filter(|path| path.is_file());
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(files.map(|path| (stem(&path), path)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_pair_by_name_and_size() {
        let data = tempfile::tempdir().unwrap();
        let read = |limit| read_pairs(data.path(), "maps", limit)?.collect::<Result<Vec<_>>>();
        let error = |limit| read(limit).unwrap_err().to_string();
        fs::create_dir(data.path().join("images")).unwrap();
        assert!(error(None).contains("images/ and maps/"));
        fs::create_dir(data.path().join("maps")).unwrap();
        assert!(error(None).contains("no files in"));
        for (name, side) in [("b", 3), ("a", 2), ("c", 4)] {
            RgbImage::new(side, 2)
                .save(data.path().join(format!("images/{name}.png")))
                .unwrap();
            GrayImage::new(side, 2)
                .save(data.path().join(format!("maps/{name}.bmp")))
                .unwrap();
        }
        fs::write(data.path().join("images/.hidden"), "").unwrap();
        // In the order of names.
        let widths = |limit| -> Vec<u32> { read(limit).unwrap().iter().map(|pair| pair.picture.width()).collect() };
        assert_eq!((widths(None), widths(Some(2))), (vec![2, 3, 4], vec![2, 3]));
        GrayImage::new(3, 3).save(data.path().join("maps/c.bmp")).unwrap();
        assert!(error(None).contains("same size") && read(Some(2)).is_ok());
        fs::remove_file(data.path().join("maps/b.bmp")).unwrap();
        assert!(error(None).contains("b.png") && read(Some(1)).is_ok());
        fs::write(data.path().join("maps/a.bmp"), "no picture").unwrap();
        assert!(error(None).contains("a.bmp"));
    }
}

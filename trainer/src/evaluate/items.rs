//! The pictures of still sets: each with its map of labels, its class, and whether it is fitted on or scored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;

use super::files::{entries, file_name, open, open_labels};
use super::matlab;
use crate::data::folder::Kind;
use crate::data::labels::{LabelMap, Stored};
use crate::data::resample::shrink;
use crate::data::share::Share;

/// Without a split of the set's own, one in so many pictures is fitted on.
const FIT_EVERY: usize = 5;
/// The label of pixels that nobody judged, where a layout says so.
pub const VOID: u16 = 255;

/// Parts of CelebAMask-HQ in the order of its labels, from 1.
const PARTS: [&str; 18] = [
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair",
    "hat", "ear_r", "neck_l", "neck", "cloth",
];
/// CelebAMask-HQ's pictures and the masks of their parts, 2,000 pictures to a folder.
const FACES: &str = "CelebA-HQ-img";
const FACE_PARTS: &str = "CelebAMask-HQ-mask-anno";
/// Numbers of CelebA's pictures at which its validation and its test set begin, in the mapping of CelebAMask-HQ.
const CELEBA: [usize; 2] = [162_771, 182_638];

/// Where the map of a picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Map {
    /// A mask or labels, which the masks of the whole set explain.
    File(PathBuf),
    /// Labels of which this one is the object, and 255 void (Pascal VOC).
    Label(PathBuf, u16),
    /// The object before blue (Oxford flowers); a pixel is the object as ReDO tells it, who measured first.
    BeforeBlue(PathBuf),
    /// A mask of each part, whose label its pixels get; later ones lie above.
    Parts(Vec<(u16, PathBuf)>),
}

/// A picture of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its file.
    pub picture: PathBuf,
    /// Its map.
    pub map: Map,
    /// What is in it, where the layout tells: the name of its folder, or of one of VOC's classes.
    pub class: Option<String>,
    /// Whether it is fitted on. If not it is scored.
    pub fit: bool,
}

/// The pictures of a data set.
#[derive(Debug, Default)]
pub struct Items {
    /// In the order of names.
    pub all: Vec<Item>,
    /// Files beside them that are no pictures, and pictures of class folders without a map.
    pub skipped: Vec<PathBuf>,
    /// What tells those that are fitted on.
    pub split: String,
}

impl Items {
    /// Lists the pictures below `folder`: those of CUB-200-2011, Oxford flowers or CelebAMask-HQ as they are distributed, or
    /// `images/` beside a folder `maps` of files with the same names, both with or without a folder for each class. Of a
    /// set's own splits, pictures for validation are fitted on and those for testing are scored. The first `limit` of each, if
    /// given.
    ///
    /// # Errors
    /// If a folder is missing, there are no pictures, one has no map, or two have the same name.
    pub fn open(folder: &Path, maps: &str, limit: Option<usize>) -> Result<Self> {
        let here = |name: &str| folder.join(name).exists();
        let mut items = if here(FACES) {
            faces(folder)?
        } else if here("jpg") && here("segmim") {
            flowers(folder)?
        } else if here("images.txt") && here("segmentations") {
            birds(folder)?
        } else {
            return pairs(folder, maps, limit);
        };
        items.keep(limit);
        Ok(items)
    }

    /// Keeps the first `limit` that are fitted on and that are scored.
    pub fn keep(&mut self, limit: Option<usize>) {
        let (limit, mut kept) = (limit.unwrap_or(usize::MAX), [0; 2]);
        self.all.retain(|item| {
            let count = &mut kept[usize::from(item.fit)];
            *count += 1;
            *count <= limit
        });
    }

    /// # Errors
    /// If there are none to fit on, or none to score.
    pub fn check(&self) -> Result<()> {
        let fitted = self.all.iter().filter(|item| item.fit).count();
        let scored = self.all.len() - fitted;
        ensure!(
            fitted > 0 && scored > 0,
            "{fitted} pictures to fit on and {scored} to score; both need one"
        );
        Ok(())
    }

    /// Keeps a share of those that are scored, and all that are fitted on: all processes fit alike.
    pub fn share(&mut self, share: Share) {
        let mut places = 0..;
        self.all
            .retain(|item| item.fit || places.next().is_some_and(|place| share.holds(place)));
    }

    /// Reads a picture, upright, and its map.
    ///
    /// # Errors
    /// If a file cannot be decoded or the sizes differ.
    pub fn read(&self, index: usize) -> Result<(RgbImage, LabelMap)> {
        let item = &self.all[index];
        let mut pixels = open(&item.picture)?;
        let labels = item.map.read()?;
        let (size, of_map) = (pixels.dimensions(), (labels.width as u32, labels.height as u32));
        if matches!(item.map, Map::Parts(_)) && size != of_map {
            pixels = shrink(&pixels, of_map.0, of_map.1);
        }
        ensure!(
            pixels.dimensions() == of_map,
            "{} is {size:?} and its map {of_map:?}; they must have the same size{}",
            item.picture.display(),
            if size == (of_map.1, of_map.0) {
                ": pictures are turned as their EXIF data says, so their maps have to be upright"
            } else {
                ""
            }
        );
        Ok((pixels, labels))
    }
}

impl Map {
    fn read(&self) -> Result<LabelMap> {
        let stored = Stored::Grey { bits: 8 };
        match self {
            Self::File(path) => open_labels(path),
            Self::Label(path, object) => {
                let mut map = open_labels(path)?;
                map.values.iter_mut().for_each(|value| match *value {
                    VOID => {}
                    other => *value = u16::from(other == *object),
                });
                Ok(LabelMap { stored, ..map })
            }
            Self::BeforeBlue(path) => {
                let picture = open(path)?;
                let object = |[r, g, b]: [u8; 3]| u16::from(r != 0 && g != 0 && b != 254);
                Ok(LabelMap {
                    width: picture.width() as usize,
                    height: picture.height() as usize,
                    values: picture.pixels().map(|pixel| object(pixel.0)).collect(),
                    stored,
                })
            }
            Self::Parts(parts) => {
                let mut whole: Option<LabelMap> = None;
                for (label, path) in parts {
                    let part = open(path)?;
                    let size = (part.width() as usize, part.height() as usize);
                    let whole = whole.get_or_insert_with(|| LabelMap {
                        width: size.0,
                        height: size.1,
                        values: vec![0; size.0 * size.1],
                        stored: stored.clone(),
                    });
                    ensure!(
                        size == (whole.width, whole.height),
                        "{} has another size than the parts before it",
                        path.display()
                    );
                    let inside = whole
                        .values
                        .iter_mut()
                        .zip(part.pixels())
                        .filter(|(_, pixel)| pixel.0[0] > 127);
                    inside.for_each(|(value, _)| *value = *label);
                }
                whole.context("a face without parts")
            }
        }
    }
}

/// `images/` and maps with the same names, each with or without a folder for each class.
fn pairs(folder: &Path, maps: &str, limit: Option<usize>) -> Result<Items> {
    let map_folder = folder.join(maps);
    let mut items = Items {
        split: format!("every {FIT_EVERY}th"),
        ..Items::default()
    };
    let mut list = |folder: &Path| {
        let mut found = BTreeMap::new();
        for path in entries(folder).with_context(|| format!("a data set holds images/ and {maps}/"))? {
            if path.is_dir() {
                let class = file_name(&path);
                for path in entries(&path)? {
                    add(&mut found, Some(class.clone()), path, &mut items.skipped)?;
                }
            } else {
                add(&mut found, None, path, &mut items.skipped)?;
            }
        }
        Ok::<_, anyhow::Error>(found)
    };
    let (pictures, mut maps) = (list(&folder.join("images"))?, list(&map_folder)?);
    ensure!(
        !pictures.is_empty(),
        "no pictures in {}; each needs a map of the same name in {}",
        folder.join("images").display(),
        map_folder.display()
    );
    for ((class, name), picture) in pictures {
        if items.all.len() == limit.unwrap_or(usize::MAX) {
            break;
        }
        let fit = items.all.len().is_multiple_of(FIT_EVERY);
        match maps.remove(&(class.clone(), name)) {
            Some(map) => items.all.push(Item {
                picture,
                map: Map::File(map),
                class,
                fit,
            }),
            // Where there is a folder for each class, masks are often those of a part of them.
            None if class.is_some() => items.skipped.push(picture),
            None => bail!("no file in {} for {}", map_folder.display(), picture.display()),
        }
    }
    ensure!(
        !items.all.is_empty(),
        "no picture has a map in {}",
        map_folder.display()
    );
    Ok(items)
}

/// Pictures by their class and their name without ending.
type Named = BTreeMap<(Option<String>, String), PathBuf>;

fn add(found: &mut Named, class: Option<String>, path: PathBuf, skipped: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() || Kind::of(&path.to_string_lossy()) != Some(Kind::Image) {
        skipped.push(path);
        return Ok(());
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(other) = found.insert((class, stem), path.clone()) {
        bail!(
            "{} and {} have the same name: which is meant?",
            other.display(),
            path.display()
        );
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The columns of a text file.
fn columns(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<_>| !words.is_empty())
}

/// CUB-200-2011 with its `segmentations/`. The split of ReDO and IEM (`train_val_test_split.txt`: 0, 1, 2) if it is there,
/// else CUB's own, whose pictures for training are fitted on.
fn birds(folder: &Path) -> Result<Items> {
    let (theirs, own) = ("train_val_test_split.txt", "train_test_split.txt");
    let redo = folder.join(theirs).exists();
    let split = if redo { theirs } else { own };
    let (names, parts) = (text(&folder.join("images.txt"))?, text(&folder.join(split))?);
    let part_of: BTreeMap<&str, &str> = columns(&parts)
        .filter_map(|words| Some((*words.first()?, *words.get(1)?)))
        .collect();
    let mut all = Vec::new();
    for words in columns(&names) {
        let [number, name] = words[..] else {
            bail!("images.txt: `{}` is no number and name", words.join(" "));
        };
        let part = *part_of
            .get(number)
            .with_context(|| format!("{split} has no line for {number}"))?;
        let fit = match (redo, part) {
            (true, "1") | (false, "1") => true,
            (true, "2") | (false, "0") => false,
            _ => continue,
        };
        all.push(Item {
            picture: folder.join("images").join(name),
            map: Map::File(folder.join("segmentations").join(name).with_extension("png")),
            class: name.split_once('/').map(|(class, _)| class.to_owned()),
            fit,
        });
    }
    Ok(Items {
        all,
        split: split.to_owned(),
        ..Items::default()
    })
}

/// Oxford flowers: `jpg/`, `segmim/` and `setid.mat`. As in ReDO and IEM, the smaller set `trnid` is scored, `valid` is fitted on.
fn flowers(folder: &Path) -> Result<Items> {
    let path = folder.join("setid.mat");
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sets = matlab::vectors(&bytes).map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
    let mut all = Vec::new();
    for (set, fit) in [("valid", true), ("trnid", false)] {
        let numbers = sets
            .get(set)
            .with_context(|| format!("{} has no `{set}`", path.display()))?;
        all.extend(numbers.iter().map(|number| Item {
            picture: folder.join(format!("jpg/image_{number:05}.jpg")),
            map: Map::BeforeBlue(folder.join(format!("segmim/segmim_{number:05}.jpg"))),
            class: None,
            fit,
        }));
    }
    Ok(Items {
        all,
        split: "`valid` of setid.mat".into(),
        ..Items::default()
    })
}

/// CelebAMask-HQ: pictures of CelebA's test set are scored, those of its validation set fitted on.
fn faces(folder: &Path) -> Result<Items> {
    let mapping = text(&folder.join("CelebA-HQ-to-CelebA-mapping.txt"))?;
    let mut all = Vec::new();
    for words in columns(&mapping) {
        // The first line has the columns' names.
        let numbers = words
            .iter()
            .take(2)
            .map(|word| word.parse().ok())
            .collect::<Option<Vec<usize>>>();
        let Some([number, of_celeba]) = numbers.as_deref() else {
            continue;
        };
        if *of_celeba < CELEBA[0] {
            continue;
        }
        let parts = folder.join(FACE_PARTS).join((number / 2000).to_string());
        let part = |(index, name): (usize, &&str)| {
            let path = parts.join(format!("{number:05}_{name}.png"));
            path.exists().then_some((index as u16 + 1, path))
        };
        all.push(Item {
            picture: folder.join(FACES).join(format!("{number}.jpg")),
            map: Map::Parts(PARTS.iter().enumerate().filter_map(part).collect()),
            class: None,
            fit: *of_celeba < CELEBA[1],
        });
    }
    Ok(Items {
        all,
        split: "CelebA's validation set".into(),
        ..Items::default()
    })
}

/// Pascal VOC 2012: each picture once for each class that it holds, `classes` naming their labels from 1. The pictures of `train.txt`
/// are fitted on, those of `val.txt` scored.
///
/// # Errors
/// If a list or a map cannot be read.
pub fn voc(folder: &Path, classes: &[&str], limit: Option<usize>) -> Result<Items> {
    let mut items = Items {
        split: "train.txt".into(),
        ..Items::default()
    };
    for (list, fit) in [("train", true), ("val", false)] {
        let names = text(&folder.join("ImageSets/Segmentation").join(format!("{list}.txt")))?;
        for name in names.split_whitespace().take(limit.unwrap_or(usize::MAX)) {
            let map = folder.join("SegmentationClass").join(format!("{name}.png"));
            let held: BTreeSet<u16> = open_labels(&map)?.values.into_iter().collect();
            items
                .all
                .extend(
                    classes
                        .iter()
                        .zip(1..)
                        .filter(|(_, label)| held.contains(label))
                        .map(|(class, label)| Item {
                            picture: folder.join("JPEGImages").join(format!("{name}.jpg")),
                            map: Map::Label(map.clone(), label),
                            class: Some((*class).to_owned()),
                            fit,
                        }),
                );
        }
    }
    // One class after the other, so that the network is told each once.
    let place = |item: &Item| classes.iter().position(|class| Some(*class) == item.class.as_deref());
    items.all.sort_by_key(|item| (place(item), item.fit));
    Ok(items)
}

#[cfg(test)]
mod tests;

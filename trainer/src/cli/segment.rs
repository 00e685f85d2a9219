//! `factorseg segment`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use factorseg_model::RegionMap;
use image::{GrayImage, RgbImage};

use super::segmenter::{PassArguments, SegmenterArguments};
use crate::data::folder::ImageFolder;
use crate::data::picture::open_picture;
use crate::data::skipped::Skipped;
use crate::evaluate::assignment::labels;
use crate::evaluate::segment::{batches, segment};
use crate::training::watching::pictures::REGION_COLOURS;

/// Images that go through the network at once.
const BATCH: usize = 8;
/// Most memory of an image's region probabilities, which have four bytes for each pixel and region.
const LARGEST_MAP: u64 = 2 << 30;

/// Segment images: region ids and a picture of them for each.
///
/// Writes NAME.regions.png (region ids 1..K as grey values) and NAME.overlay.png for each image. NAME is the image's, with
/// its ending or a number where others have the same. Results of an earlier time that lie in a folder are no images.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg segment dog.jpg --out segmented                       (the embedded checkpoint)
  factorseg segment photos/ --model runs/photos/model.safetensors --out segmented --soft")]
pub struct Segment {
    /// Images, or folders of images
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    /// Opacity of the regions in the overlay, 0 to 1
    #[arg(long, default_value_t = 0.5)]
    alpha: f32,
    /// Also write each region's probability as NAME.region-K.png
    #[arg(long)]
    soft: bool,
}

impl Segment {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let (files, skipped) = files(&self.images)?;
        skipped.lines().for_each(|line| eprintln!("{line}"));
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let regions = engine.config().regions;
        std::fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        let mut failed = 0;
        let pictures = files.iter().filter_map(|(name, path)| match open(path, regions) {
            Ok(picture) => Some(Ok((picture, name))),
            Err(reason) => {
                failed += 1;
                eprintln!("skipped {}: {reason}", path.display());
                None
            }
        });
        for batch in batches(pictures, BATCH) {
            let (pictures, names): (Vec<_>, Vec<_>) = batch?.into_iter().unzip();
            let maps = segment(&mut engine, &pictures, &passes)?;
            for ((name, picture), map) in names.into_iter().zip(&pictures).zip(maps) {
                self.write(name, picture, &map)?;
            }
        }
        if failed > 0 {
            bail!(
                "{failed} of {} images cannot be segmented; the others are in {}",
                files.len(),
                self.out.display()
            );
        }
        eprintln!("{} images in {}", files.len(), self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, name: &str, picture: &RgbImage, map: &RegionMap) -> Result<()> {
        let (width, height) = picture.dimensions();
        let regions = labels(&map.probabilities, map.regions);
        let save = |ending: String, result: Result<(), image::ImageError>| {
            result.with_context(|| format!("cannot write {name}.{ending} in {}", self.out.display()))
        };
        let path = |ending: &str| self.out.join(format!("{name}.{ending}"));
        let ids = GrayImage::from_fn(width, height, |x, y| {
            image::Luma([regions[(y * width + x) as usize] + 1])
        });
        save("regions.png".into(), ids.save(path("regions.png")))?;
        let alpha = self.alpha.clamp(0.0, 1.0);
        let mut overlay = picture.clone();
        for (pixel, region) in overlay.pixels_mut().zip(&regions) {
            let colour = REGION_COLOURS[usize::from(*region) % REGION_COLOURS.len()];
            for (value, tint) in pixel.0.iter_mut().zip(colour) {
                *value = (f32::from(*value) * (1.0 - alpha) + f32::from(tint) * alpha).round() as u8;
            }
        }
        save("overlay.png".into(), overlay.save(path("overlay.png")))?;
        if self.soft {
            let pixels = map.width * map.height;
            for region in 0..map.regions {
                let plane = &map.probabilities[region * pixels..(region + 1) * pixels];
                let soft = GrayImage::from_fn(width, height, |x, y| {
                    image::Luma([(plane[(y * width + x) as usize].clamp(0.0, 1.0) * 255.0).round() as u8])
                });
                let ending = format!("region-{}.png", region + 1);
                save(ending.clone(), soft.save(path(&ending)))?;
            }
        }
        Ok(())
    }
}

/// Reads an image whose probabilities fit into memory.
fn open(path: &Path, regions: usize) -> Result<RgbImage> {
    let picture = open_picture(path)?;
    let (width, height) = (picture.width(), picture.height());
    let most = LARGEST_MAP / (4 * regions as u64);
    if u64::from(width) * u64::from(height) > most {
        let most = most / 1_000_000;
        bail!("too large: {width} x {height} pixels; with {regions} regions at most {most} million are segmented");
    }
    Ok(picture.into_rgb8())
}

/// All image files, each once, with names for their results that differ, and what is no image.
fn files(images: &[PathBuf]) -> Result<(Vec<(String, PathBuf)>, Skipped)> {
    let (mut found, mut seen, mut skipped) = (Vec::new(), HashSet::new(), Skipped::default());
    let mut add = |name: PathBuf, path: PathBuf, skipped: &mut Skipped| {
        if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            found.push((name, path));
        } else {
            skipped.add("an image that is given twice", path.display());
        }
    };
    for path in images {
        if !path.is_dir() {
            add(
                path.file_name().unwrap_or(path.as_os_str()).into(),
                path.clone(),
                &mut skipped,
            );
            continue;
        }
        let folder = ImageFolder::scan(path)?;
        skipped.extend(folder.skipped);
        let paths: HashSet<&Path> = folder.samples.iter().map(|sample| sample.path.as_path()).collect();
        for sample in &folder.samples {
            let name = &sample.path;
            if is_result(name, &paths) {
                skipped.add("a result of `segment`", path.join(name).display());
            } else {
                add(name.clone(), path.join(name), &mut skipped);
            }
        }
    }
    let (paths, files): (Vec<PathBuf>, Vec<PathBuf>) = found.into_iter().unzip();
    Ok((distinct(&paths).into_iter().zip(files).collect(), skipped))
}

/// Whether a file is what `segment` wrote: it lies beside the other pictures of the same image.
fn is_result(path: &Path, all: &HashSet<&Path>) -> bool {
    let name = path.to_string_lossy();
    let of = |ending: &str| Some(name.strip_suffix(ending)?.to_owned());
    let soft = || {
        let (image, number) = name.strip_suffix(".png")?.rsplit_once(".region-")?;
        number.parse::<u8>().ok().map(|_| image.to_owned())
    };
    let Some(image) = of(".regions.png").or_else(|| of(".overlay.png")).or_else(soft) else {
        return false;
    };
    [".regions.png", ".overlay.png"]
        .iter()
        .all(|ending| all.contains(Path::new(&format!("{image}{ending}"))))
}

/// Names for results: a path without its ending and with `-` for `/`; with its ending where others would have the same
/// name, and with a number where that does not help. Upper and lower case count as the same: to some file systems they are.
fn distinct(paths: &[PathBuf]) -> Vec<String> {
    let flat = |path: &Path| path.to_string_lossy().replace(['/', '\\'], "-");
    let short: Vec<String> = paths.iter().map(|path| flat(&path.with_extension(""))).collect();
    let mut count: HashMap<String, usize> = HashMap::new();
    for name in &short {
        *count.entry(name.to_lowercase()).or_insert(0) += 1;
    }
    let mut taken: HashSet<String> = count
        .iter()
        .filter(|(_, count)| **count == 1)
        .map(|(name, _)| name.clone())
        .collect();
    let longer = |(path, short): (&PathBuf, String)| {
        if count[&short.to_lowercase()] == 1 {
            return short;
        }
        let name = flat(path);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names
            .find(|name| taken.insert(name.to_lowercase()))
            .unwrap_or(name.clone())
    };
    paths.iter().zip(short).map(longer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_named_after_their_images() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("cats")).unwrap();
        std::fs::write(data.path().join("cats/tom.jpeg"), b"x").unwrap();
        let (found, _) = files(&[data.path().to_owned(), PathBuf::from("some/where/dog.png")]).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cats-tom", "dog"]);
    }

    #[test]
    fn results_have_names_of_their_own() {
        for (paths, expected) in [
            (&["a.jpg", "a.png", "b.png"][..], &["a.jpg", "a.png", "b"][..]),
            (&["a.png", "a.png", "a.png"], &["a.png", "a.png-2", "a.png-3"]),
            (&["a/b.png", "a-b.png", "A-B.jpg"], &["a-b.png", "a-b.png-2", "A-B.jpg"]),
            // A name that another needs.
            (&["x.jpg", "x.png", "x.jpg.bmp"], &["x.jpg-2", "x.png", "x.jpg"]),
            (&["IMG.jpg", "img.png"], &["IMG.jpg", "img.png"]),
        ] {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            assert_eq!(distinct(&paths), expected);
        }
    }

    #[test]
    fn images_are_taken_once_and_results_not_at_all() {
        let data = tempfile::tempdir().unwrap();
        let path = |name: &str| data.path().join(name);
        std::fs::create_dir(path("out")).unwrap();
        for name in [
            "a.png",
            "a.regions.png",
            "a.overlay.png",
            "a.region-1.png",
            "out/b.v2.regions.png",
            "out/b.v2.overlay.png",
            // Somebody's own.
            "nice.overlay.png",
            "my.region-x.png",
        ] {
            std::fs::write(path(name), b"x").unwrap();
        }
        let (found, skipped) = files(&[data.path().to_owned(), path("a.png"), path("out/../a.png")]).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "my.region-x", "nice.overlay"]);
        let count = |reason| skipped.count(reason);
        assert_eq!(
            (count("a result of `segment`"), count("an image that is given twice")),
            (5, 2)
        );
        // What is asked for by its name is done.
        assert_eq!(files(&[path("a.overlay.png")]).unwrap().0.len(), 1);
    }
}

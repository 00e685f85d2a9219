//! `factorseg segment`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use factorseg_model::RegionMap;
use image::{GrayImage, RgbImage};

use super::segmenter::{PassArguments, SegmenterArguments};
use crate::data::folder::{FolderError, ImageFolder};
use crate::evaluate::assignment::labels;
use crate::evaluate::segment::segment;
use crate::training::watching::pictures::REGION_COLOURS;

/// Images that go through the network at once.
const BATCH: usize = 8;

/// Segment images: region ids and a picture of them for each.
///
/// Writes NAME.regions.png (region ids 1..K as grey values) and NAME.overlay.png for each image.
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
        let files = files(&self.images)?;
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        std::fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        let mut failed = 0;
        for batch in files.chunks(BATCH) {
            let (mut names, mut pictures) = (Vec::new(), Vec::new());
            for (name, path) in batch {
                match image::open(path) {
                    Ok(picture) => {
                        names.push(name);
                        pictures.push(picture.into_rgb8());
                    }
                    Err(error) => {
                        failed += 1;
                        eprintln!("skipped {}: {error}", path.display());
                    }
                }
            }
            for ((name, picture), map) in names
                .iter()
                .zip(&pictures)
                .zip(segment(&mut engine, &pictures, &passes)?)
            {
                self.write(name, picture, &map)?;
            }
        }
        if failed > 0 {
            bail!(
                "{failed} of {} images cannot be decoded; the others are in {}",
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

/// All image files with names for their results: the file's own, or its path below a folder with
/// `-` for `/`.
fn files(images: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, FolderError> {
    let mut found = Vec::new();
    for path in images {
        if path.is_dir() {
            let folder = ImageFolder::scan(path)?;
            found.extend(
                folder
                    .samples
                    .iter()
                    .map(|sample| (name(&sample.path), path.join(&sample.path))),
            );
        } else {
            found.push((
                name(Path::new(path.file_name().unwrap_or(path.as_os_str()))),
                path.clone(),
            ));
        }
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.with_extension("").to_string_lossy().replace(['/', '\\'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_named_after_their_images() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("cats")).unwrap();
        std::fs::write(data.path().join("cats/tom.jpeg"), b"x").unwrap();
        let found = files(&[data.path().to_owned(), PathBuf::from("some/where/dog.png")]).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cats-tom", "dog"]);
    }
}

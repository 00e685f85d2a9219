//! `factorseg segment`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use factorseg_model::Engine;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::arguments::region;
use super::masks::{Format, MaskWriter};
use super::segment_video;
use super::segmenter::{PassArguments, SegmenterArguments};
use crate::data::folder::{FolderError, ImageFolder};
use crate::evaluate::segment::segment;

/// Images that go through the network at once.
const BATCH: usize = 8;

/// Segment images and videos: the regions of each, and a picture of them.
///
/// Writes NAME.overlay.png for each image, and its masks in the formats asked for; for a video NAME/00000.overlay.png and so on,
/// a frame at a time. Regions count from 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg segment dog.jpg --out segmented                       (the embedded checkpoint)
  factorseg segment photos/ --model runs/photos/model.safetensors --out segmented --soft
  factorseg segment photos/ --out segmented --format binary,rle --json")]
pub struct Segment {
    /// Images, videos, or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    /// Masks to write
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "palette,ids",
        value_name = "FORMAT,.."
    )]
    format: Vec<Format>,
    /// Regions that are the foreground, counted from 1 [default: those that the checkpoint names]
    #[arg(long, value_name = "REGION,..", value_delimiter = ',', value_parser = region)]
    foreground: Option<Vec<usize>>,
    /// Opacity of the regions in the overlay, 0 to 1
    #[arg(long, default_value_t = 0.5, value_parser = opacity)]
    alpha: f32,
    /// Also write each region's probability as NAME.region-K.png
    #[arg(long)]
    soft: bool,
    /// Do not judge the masks of a video again by what moves on its own
    #[arg(long)]
    no_motion_model: bool,
    /// Print a JSON line for each image or frame: its files, and the share of it that each region takes
    #[arg(long)]
    json: bool,
}

fn opacity(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(alpha) if (0.0..=1.0).contains(&alpha) => Ok(alpha),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

impl Segment {
    /// Runs the command.
    pub fn run(mut self) -> Result<ExitCode> {
        let videos = segment_video::take(&mut self.images)?;
        let files = files(&self.images)?;
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let foreground = self.foreground(&engine)?;
        let writer = MaskWriter {
            folder: &self.out,
            formats: &self.format,
            foreground: &foreground,
            alpha: self.alpha,
            soft: self.soft,
        };
        std::fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        let bar = progress(files.len());
        let mut failed = 0;
        for batch in files.chunks(BATCH) {
            let (mut names, mut pictures) = (Vec::new(), Vec::new());
            for (name, path) in batch {
                match image::open(path) {
                    Ok(picture) => {
                        names.push((name, path));
                        pictures.push(picture.into_rgb8());
                    }
                    Err(error) => {
                        failed += 1;
                        bar.suspend(|| eprintln!("skipped {}: {error}", path.display()));
                    }
                }
            }
            for (((name, path), picture), map) in
                names
                    .iter()
                    .zip(&pictures)
                    .zip(segment(&mut engine, &pictures, &passes)?)
            {
                let written = writer.write(name, picture, &map)?;
                if self.json {
                    let line = json!({
                        "image": path, "width": picture.width(), "height": picture.height(),
                        "shares": written.shares, "files": written.files,
                    });
                    println!("{line}");
                }
            }
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        if files.len() > failed {
            eprintln!("{} images in {}", files.len() - failed, self.out.display());
        }
        for (name, path) in &videos {
            let motion = !self.no_motion_model;
            let frames = segment_video::segment_video(&mut engine, &passes, &writer, (name, path), motion, self.json)?;
            eprintln!("{frames} frames in {}", self.out.join(name).display());
        }
        if failed > 0 {
            bail!(
                "{failed} of {} images cannot be decoded; the others are in {}",
                files.len(),
                self.out.display()
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The foreground's regions, as indices.
    fn foreground(&self, engine: &dyn Engine) -> Result<Vec<usize>> {
        let info = engine.info();
        let foreground = match &self.foreground {
            Some(named) => named.clone(),
            None => info.foreground_regions.clone(),
        };
        if let Some(region) = foreground.iter().find(|region| **region >= info.regions) {
            bail!(
                "--foreground {}: the checkpoint has regions 1 to {}",
                region + 1,
                info.regions
            );
        }
        if foreground.is_empty() && self.format.contains(&Format::Binary) {
            bail!("the checkpoint does not say which regions are the foreground: name them with --foreground");
        }
        Ok(foreground)
    }
}

/// A bar with the time that is left; hidden where there is no terminal.
fn progress(images: usize) -> ProgressBar {
    let bar = ProgressBar::new(images as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} images  {per_sec}  {eta} left") {
        bar.set_style(style);
    }
    bar
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

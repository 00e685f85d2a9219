//! `factorseg segment`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use factorseg_model::Engine;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::arguments::{ShardArgument, region};
use super::masks::{Format, MaskWriter};
use super::segment_video;
use super::segmenter::{PassArguments, SegmenterArguments, motion_model};
use crate::data::folder::ImageFolder;
use crate::data::picture::open_picture;
use crate::data::skipped::Skipped;
use crate::evaluate::segment::{batches, segment};

/// Images that go through the network at once.
const BATCH: usize = 8;
/// Most memory of an image's region probabilities, which have four bytes for each pixel and region.
const LARGEST_MAP: u64 = 2 << 30;

/// Segment images and videos: the regions of each, and a picture of them.
///
/// Writes NAME.overlay.png for each image, and its masks in the formats asked for; for a video NAME/00000.overlay.png and so on,
/// a frame at a time. NAME is the image's, with its ending or a number where others have the same. Results of an earlier time that
/// lie in a folder are no images. Regions count from 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg segment dog.jpg --out segmented                       (the embedded checkpoint)
  factorseg segment photos/ --model runs/photos/model.safetensors --out segmented --soft
  factorseg segment photos/ --out segmented --format binary,rle --json
  factorseg segment photos/ --out segmented --shard $SLURM_ARRAY_TASK_ID/8      (one of 8 jobs)")]
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
    #[command(flatten)]
    shard: ShardArgument,
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
        let share = self.shard.share();
        // Names are given out before: they differ among all results.
        let videos = share.take(segment_video::take(&mut self.images)?);
        let (files, skipped) = files(&self.images)?;
        let files = share.take(files);
        skipped.lines().for_each(|line| eprintln!("{line}"));
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let foreground = self.foreground(&engine)?;
        let regions = engine.config().regions;
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
        let pictures = files.iter().filter_map(|(name, path)| match open(path, regions) {
            Ok(picture) => Some(Ok((picture, (name, path)))),
            Err(reason) => {
                failed += 1;
                bar.inc(1);
                bar.suspend(|| eprintln!("skipped {}: {reason}", path.display()));
                None
            }
        });
        for batch in batches(pictures, BATCH) {
            let (pictures, names): (Vec<_>, Vec<_>) = batch?.into_iter().unzip();
            let maps = segment(&mut engine, &pictures, &passes)?;
            for (((name, path), picture), map) in names.iter().zip(&pictures).zip(maps) {
                let written = writer.write(name, picture, &map)?;
                if self.json {
                    let line = json!({
                        "image": path, "width": picture.width(), "height": picture.height(),
                        "shares": written.shares, "files": written.files,
                    });
                    println!("{line}");
                }
            }
            bar.inc(names.len() as u64);
        }
        bar.finish_and_clear();
        if files.len() > failed {
            eprintln!("{} images in {}", files.len() - failed, self.out.display());
        }
        let mut errors = Vec::new();
        if failed > 0 {
            let (all, out) = (files.len(), self.out.display());
            errors.push(format!(
                "{failed} of {all} images cannot be decoded; the others are in {out}"
            ));
        }
        // Without a foreground nobody knows what should move.
        let object = (0..regions).filter(|region| foreground.contains(region)).count();
        let judged = !(self.no_motion_model || self.segmenter.paper) && (1..regions).contains(&object);
        let mut motion = if judged && !videos.is_empty() {
            Some(motion_model(&mut engine)?)
        } else {
            None
        };
        for (name, path) in &videos {
            if let Some(motion) = &mut motion {
                motion.reset();
            }
            let video = (name.as_str(), path.as_path());
            let (frames, broken) =
                segment_video::segment_video(&mut engine, &passes, &writer, video, motion.as_mut(), self.json)?;
            eprintln!("{frames} frames in {}", self.out.join(name).display());
            errors
                .extend(broken.map(|reason| format!("{} breaks off after {frames} frames: {reason}", path.display())));
        }
        ensure!(errors.is_empty(), "{}", errors.join("; "));
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
        for sample in &folder.samples {
            let name = &sample.path;
            if is_result(path, name) {
                skipped.add("a result of `segment`", path.join(name).display());
            } else {
                add(name.clone(), path.join(name), &mut skipped);
            }
        }
    }
    let (paths, files): (Vec<PathBuf>, Vec<PathBuf>) = found.into_iter().unzip();
    Ok((distinct(&paths).into_iter().zip(files).collect(), skipped))
}

/// Whether a file below `root` is what `segment` wrote: it lies beside other results for the same image.
pub fn is_result(root: &Path, path: &Path) -> bool {
    const OVERLAY: &str = ".overlay.png";
    const MASKS: [&str; 5] = [".regions.png", ".ids.png", ".mask.png", ".region-1.png", ".rle.json"];
    let name = path.to_string_lossy();
    let exists = |image: &str, ending: &str| root.join(format!("{image}{ending}")).exists();
    if let Some(image) = name.strip_suffix(OVERLAY) {
        return MASKS.iter().any(|ending| exists(image, ending));
    }
    let soft = || {
        let (image, number) = name.strip_suffix(".png")?.rsplit_once(".region-")?;
        number.parse::<u8>().ok().map(|_| image)
    };
    let image = MASKS.iter().find_map(|ending| name.strip_suffix(ending)).or_else(soft);
    image.is_some_and(|image| exists(image, OVERLAY))
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
mod tests;

//! The videos of `factorseg segment`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::folder::{Kind, Listing};

/// Takes the videos out of `paths`, with names for their results: a video's own, or its path below a folder with `-` for `/`.
/// A folder that also holds pictures stays.
///
/// # Errors
/// If a folder cannot be read.
pub fn take(paths: &mut Vec<PathBuf>) -> Result<Vec<(String, PathBuf)>> {
    let mut videos = Vec::new();
    let mut rest = Vec::new();
    for path in paths.drain(..) {
        let is_video = |path: &Path| Kind::of(&path.to_string_lossy()) == Some(Kind::Video);
        if path.is_dir() {
            let samples = Listing::of(&path)?.samples;
            let (found, pictures): (Vec<_>, Vec<_>) = samples.into_iter().partition(|sample| is_video(&sample.path));
            if found.is_empty() || !pictures.is_empty() {
                rest.push(path.clone());
            }
            videos.extend(found.into_iter().map(|one| (name(&one.path), path.join(&one.path))));
        } else if is_video(&path) {
            videos.push((name(Path::new(path.file_name().unwrap_or(path.as_os_str()))), path));
        } else {
            rest.push(path);
        }
    }
    *paths = rest;
    Ok(videos)
}

/// The whole name, so that `a.mp4` and `a.mov` are two.
fn name(path: &Path) -> String {
    path.to_string_lossy().replace(['/', '\\'], "-")
}

#[cfg(feature = "video")]
pub use decoding::segment_video;

#[cfg(feature = "video")]
mod decoding {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use anyhow::{Context, Result, bail};
    use factorseg_model::Engine;
    use factorseg_refine::MotionModel;
    use image::RgbImage;
    use indicatif::{ProgressBar, ProgressStyle};
    use serde_json::json;

    use crate::cli::masks::{MaskWriter, Written};
    use crate::data::video::{Moment, each_frame};
    use crate::evaluate::segment::{Passes, network_input, segment};

    /// Writes the masks of each frame of a video as NAME/00000.*, and returns the number of frames and why it broke off, if it
    /// did. With `motion` they are judged again by what moves on its own.
    ///
    /// # Errors
    /// If the engine fails or something cannot be written; what came before is there.
    pub fn segment_video(
        engine: &mut dyn Engine,
        passes: &Passes,
        writer: &MaskWriter<'_>,
        (name, path): (&str, &Path),
        mut motion: Option<&mut MotionModel>,
        json: bool,
    ) -> Result<(u64, Option<String>)> {
        let folder = writer.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {percent} %  {eta} left") {
            bar.set_style(style);
        }
        let (mut frames, mut failed) = (0u64, None);
        let mut frame = |moment: Moment, picture: RgbImage| -> Result<()> {
            let written = one(
                engine,
                passes,
                writer,
                &format!("{name}/{frames:05}"),
                &picture,
                motion.as_deref_mut(),
            )?;
            if json {
                let line = json!({
                    "video": path, "frame": frames, "seconds": moment.time.as_secs_f64(),
                    "width": picture.width(), "height": picture.height(),
                    "shares": written.shares, "files": written.files,
                });
                println!("{line}");
            }
            frames += 1;
            let milliseconds = |time: Duration| time.as_millis() as u64;
            bar.set_length(moment.of.map_or(0, milliseconds));
            bar.set_position(milliseconds(moment.time));
            bar.set_message(format!("{name}: {frames} frames"));
            Ok(())
        };
        let ended = each_frame(path, None, &AtomicBool::new(false), &mut |moment, picture| {
            frame(moment, picture).map_err(|error| {
                let reason = error.to_string();
                failed = Some(error);
                reason
            })
        });
        bar.finish_and_clear();
        match (failed, ended) {
            (Some(error), _) => Err(error),
            (None, Ok(broken)) => Ok((frames, broken)),
            (None, Err(reason)) => bail!("{}: {reason}", path.display()),
        }
    }

    fn one(
        engine: &mut dyn Engine,
        passes: &Passes,
        writer: &MaskWriter<'_>,
        name: &str,
        picture: &RgbImage,
        motion: Option<&mut MotionModel>,
    ) -> Result<Written> {
        let mut maps = segment(engine, &[picture], passes)?;
        let mut map = maps.pop().context("a frame without regions")?;
        let foreground: Vec<bool> = (0..map.regions)
            .map(|region| writer.foreground.contains(&region))
            .collect();
        if let Some(motion) = motion {
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            let seen = network_input(picture, MotionModel::frame_size(engine.input_size(width, height)));
            map = motion.refine(&seen, &map, &foreground).resized(width, height);
        }
        writer.write(name, picture, &map)
    }
}

/// Says that there are no videos here.
///
/// # Errors
/// Always.
#[cfg(not(feature = "video"))]
pub fn segment_video(
    _: &mut dyn factorseg_model::Engine,
    _: &crate::evaluate::segment::Passes,
    _: &super::masks::MaskWriter<'_>,
    (_, path): (&str, &Path),
    _: Option<&mut factorseg_refine::MotionModel>,
    _: bool,
) -> Result<(u64, Option<String>)> {
    anyhow::bail!(
        "{} is a video, and this program was built without them; build it with `--features video`",
        path.display()
    )
}

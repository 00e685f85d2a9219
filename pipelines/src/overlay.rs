//! `factorseg-pipeline overlay`: the regions drawn on the frames, alone or beside the original.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use gst::prelude::*;
use gstreamer as gst;

use crate::arguments::{Element, From, To};
use crate::input::HEAD;
use crate::output::check_file;
use crate::parse::{named, on_caps};
use crate::runner::{Ending, Job, Stop, say};
use crate::shown::Shown;

/// Draw the regions on a video, a camera's picture or a stream; sound is kept in files and HLS.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  factorseg-pipeline overlay --in holiday.mp4 --out overlay.mp4 overlay=contour
  factorseg-pipeline overlay --in holiday.mp4 --out both.mp4 --side-by-side
  factorseg-pipeline overlay --in /dev/video0 --size 1280x720
  factorseg-pipeline overlay --in /dev/video0 --out /dev/video9 overlay=blur-background
  factorseg-pipeline overlay --in rtsp://camera/stream --out www/index.m3u8
  factorseg-pipeline overlay --in DAVIS/JPEGImages/480p/dog --out dog.mp4 refine=guided")]
pub struct Overlay {
    #[command(flatten)]
    from: From,

    #[command(flatten)]
    to: To,

    /// Show the original on the left
    #[arg(long)]
    side_by_side: bool,

    /// Also write one frame with its regions (PNG)
    #[arg(long, value_name = "FILE")]
    poster: Option<PathBuf>,

    /// Which frame that is, counted from 0; the last one of a shorter video
    #[arg(long, value_name = "N", default_value_t = 46)]
    poster_frame: u64,

    #[command(flatten)]
    element: Element,
}

impl Overlay {
    /// Runs the command.
    ///
    /// # Errors
    /// If the input cannot be read, the output not written, or the pipeline fails.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let input = self.from.input()?;
        let output = &self.to.output;
        output.check(&[&input])?;
        if let Some(poster) = &self.poster {
            check_file(poster, &[&input])?;
        }
        let job = Job::new(&self.description(input.is_live()), &self.element.properties, stop)?;
        output.prepare(&job)?;
        if self.side_by_side {
            let right = named(&job.pipeline, "both")?
                .static_pad("sink_1")
                .context("there is no right side")?;
            on_caps(&job.shown[0].segment, move |video| {
                right.set_property("xpos", video.width() as i32)
            })?;
        }
        if self.poster.is_some() {
            job.shown[0].keep(self.poster_frame);
        }
        input.add_to(&job, "in", output.sound())?;
        let ended = job.run().await;
        // Of what was shown of an input that broke off, too; why it did comes first.
        let poster = self.poster.as_deref().map(|file| write_poster(file, &job.shown[0]));
        let ending = ended?;
        poster.transpose()?;
        Ok(output.done(ending))
    }

    fn description(&self, live: bool) -> String {
        let end = self.to.output.description(live);
        match self.side_by_side {
            false => format!("{HEAD} ! factorseg name=segment ! {end}"),
            true => format!(
                "compositor name=both ! {end} {HEAD} ! tee name=frames frames. ! queue ! both.sink_0 \
                 frames. ! queue ! factorseg name=segment ! queue ! both.sink_1"
            ),
        }
    }
}

fn write_poster(file: &Path, shown: &Shown) -> Result<()> {
    let name = file.display();
    std::fs::write(file, shown.png()?).with_context(|| format!("cannot write {name}"))?;
    say(&format!("wrote {name}"));
    Ok(())
}

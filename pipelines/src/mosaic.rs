//! `factorseg-pipeline mosaic`: several inputs through one model, side by side.

use std::fmt::Write;

use anyhow::{Context, Result};
use clap::Args;
use gstreamer::prelude::*;

use crate::arguments::{Element, InputOptions, To, parse_size};
use crate::input::{Input, head};
use crate::parse::named;
use crate::runner::{Ending, Job, Stop};
use crate::shown::end_with;

/// Show several inputs in one picture; all share one loaded model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  factorseg-pipeline mosaic --in /dev/video0 --in rtsp://door/stream --in rtsp://yard/stream
  factorseg-pipeline mosaic --in a.mp4 --in b.mkv --out both.mp4 --tile 640x360 overlay=contour")]
pub struct Mosaic {
    /// An input, as of `overlay`; once for each
    #[arg(long = "in", value_name = "PLACE", required = true)]
    sources: Vec<String>,

    #[command(flatten)]
    options: InputOptions,

    #[command(flatten)]
    to: To,

    /// Size of each picture in the mosaic
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "480x270", value_parser = parse_size)]
    tile: (u32, u32),

    #[command(flatten)]
    element: Element,
}

impl Mosaic {
    /// Runs the command.
    ///
    /// # Errors
    /// If an input cannot be read, the output not written, or the pipeline fails.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let read = |place: &String| Input::from_place(place, &self.options);
        let inputs: Vec<Input> = self.sources.iter().map(read).collect::<Result<_>>()?;
        let output = &self.to.output;
        output.check(&inputs.iter().collect::<Vec<_>>())?;
        let live = inputs.iter().any(Input::is_live);
        let job = Job::new(&self.description(live), &self.element.properties, stop)?;
        output.prepare(&job)?;
        let out = named(&job.pipeline, "both")?
            .static_pad("src")
            .context("the mosaic has no end")?;
        end_with(&out, job.shown.clone());
        for (index, input) in inputs.iter().enumerate() {
            input.add_to(&job, &format!("in_{index}"), None)?;
        }
        Ok(output.done(job.run().await?))
    }

    fn description(&self, live: bool) -> String {
        let (width, height) = self.tile;
        let count = self.sources.len() as u32;
        let columns = (1..count).find(|columns| columns * columns >= count).unwrap_or(count);
        let (mut places, mut tiles) = (String::new(), String::new());
        for index in 0..count {
            let (x, y) = (index % columns * width, index / columns * height);
            // String's writer does not fail.
            let _ = write!(
                places,
                " sink_{index}::xpos={x} sink_{index}::ypos={y} sink_{index}::repeat-after-eos=true"
            );
            let _ = write!(
                tiles,
                " {} ! factorseg name=segment_{index} ! videoscale add-borders=true \
                 ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! queue ! both.sink_{index}",
                head(&format!("in_{index}"))
            );
        }
        format!(
            "compositor name=both background=black{places} ! {}{tiles}",
            self.to.output.description(live)
        )
    }
}

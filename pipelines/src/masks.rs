//! `factorseg-pipeline masks`: the masks of a video as pictures, as a video, or as lines of JSON.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;

use crate::arguments::{Element, From};
use crate::coco::{self, Segmentation};
use crate::input::HEAD;
use crate::output::check_file;
use crate::parse::{named, quoted};
use crate::runner::{Ending, Job, Stop, say};

/// The part of a description that leads masks to [`each_mask`].
pub const MASKS: &str = "factorseg name=segment overlay=none segment.src ! queue ! fakesink \
    segment.mask_0 ! queue ! appsink name=masks sync=false";

/// Write the masks of a video as PNG files, as a grey video, or as lines of JSON in the manner of COCO.
#[derive(Debug, Args)]
#[command(after_help = "\
PNG files and videos are of the frames' size and grey: 255 where the object is, else 0. mask_0::format=foreground writes its
probability, labels the number of each pixel's region from 1, regions the probabilities of all.

A line of JSON is a frame: its number, time in seconds, size, and for each region of the object `bbox` (x, y, width, height in
pixels), `area` (pixels) and `segmentation`.

Examples:
  factorseg-pipeline masks --in holiday.mp4 --out masks/
  factorseg-pipeline masks --in holiday.mp4 --out masks.mkv mask_0::format=foreground
  factorseg-pipeline masks --in holiday.mp4 --out masks.jsonl --segmentation polygons")]
pub struct Masks {
    #[command(flatten)]
    from: From,

    /// A folder for PNG files (00000.png, ...), which is made; a video without loss (.mkv, FFV1); or lines of JSON (.jsonl)
    #[arg(long, value_name = "PLACE")]
    out: PathBuf,

    /// How lines of JSON say where a region is
    #[arg(long, value_enum, default_value_t = Segmentation::Rle)]
    segmentation: Segmentation,

    #[command(flatten)]
    element: Element,
}

impl Masks {
    /// Runs the command.
    ///
    /// # Errors
    /// If the input cannot be read, the output not written, or the pipeline fails.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let input = self.from.input()?;
        check_file(&self.out, &[&input])?;
        let (out, extension) = (
            self.out.to_string_lossy(),
            self.out.extension().and_then(|e| e.to_str()),
        );
        let written = match extension {
            None => {
                fs::create_dir_all(&self.out).with_context(|| format!("cannot make the folder {out}"))?;
                let files = self.out.join("%05d.png");
                format!("pngenc ! multifilesink location={}", quoted(&files.to_string_lossy()))
            }
            Some("mkv") => format!(
                "avenc_ffv1 ! matroskamux ! filesink name=output location={}",
                quoted(&out)
            ),
            Some("jsonl") => String::new(),
            Some(_) => bail!("`{out}` is none of a folder, a video (.mkv) and lines of JSON (.jsonl)"),
        };
        let description = match extension {
            Some("jsonl") => format!("{HEAD} ! {MASKS}"),
            _ => format!(
                "{HEAD} ! factorseg name=segment overlay=none mask_0::format=foreground-hard segment.src ! queue ! fakesink \
                 segment.mask_0 ! queue ! {written}"
            ),
        };
        let job = Job::new(&description, &self.element.properties, stop)?;
        if extension == Some("jsonl") {
            coco::write(&job, &self.out, self.segmentation)?;
        }
        input.add_to(&job, "in", None)?;
        let ending = job.run().await?;
        say(&format!("wrote {out}"));
        Ok(ending)
    }
}

/// The labels of one frame.
#[derive(Debug)]
pub struct Mask {
    /// Number of the frame, from 0.
    pub index: usize,
    /// When it is shown.
    pub time: Option<gst::ClockTime>,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Number of each pixel's region from 1 `[height, width]`; 0 if there is no mask.
    pub labels: Vec<u8>,
    /// What is known of the regions.
    pub report: Option<FrameReport>,
}

impl Mask {
    /// Numbers of the regions that are the object and win a pixel.
    pub fn objects(&self) -> Vec<u8> {
        let regions = self.report.iter().flat_map(|report| &report.regions);
        regions
            .filter(|region| region.foreground && self.labels.contains(&(region.id as u8)))
            .map(|region| region.id as u8)
            .collect()
    }
}

/// Calls `with` for each frame of a job whose description has [`MASKS`]; its errors are the job's.
///
/// # Errors
/// If the description has not.
pub fn each_mask(job: &Job, mut with: impl FnMut(Mask) -> Result<()> + Send + 'static) -> Result<()> {
    let pad = job.shown[0]
        .segment
        .static_pad("mask_0")
        .context("there are no masks")?;
    pad.set_property_from_str("format", "labels");
    let sink = named(&job.pipeline, "masks")?
        .downcast::<gst_app::AppSink>()
        .map_err(|sink| anyhow::anyhow!("{} is no appsink", sink.name()))?;
    let mut index = 0;
    let mut take = move |sample: &gst::Sample| {
        let buffer = sample.buffer().context("a mask without a buffer")?;
        let mask = with_rows(sample, |rows, width| Mask {
            index,
            time: buffer.pts(),
            width,
            height: rows.len(),
            labels: rows.concat(),
            report: FrameReport::from_buffer(buffer),
        })?;
        index += 1;
        with(mask)
    };
    let new_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        take(&sample).map_err(|error| {
            gst::element_error!(sink, gst::ResourceError::Write, ("{error:#}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(new_sample).build());
    Ok(())
}

/// What `with` makes of the rows of a grey mask, and their width in pixels.
///
/// # Errors
/// If the sample is no such mask.
pub fn with_rows<T>(sample: &gst::Sample, with: impl FnOnce(&[&[u8]], usize) -> T) -> Result<T> {
    let caps = sample.caps().context("a mask without caps")?;
    let buffer = sample.buffer().context("a mask without a buffer")?;
    let info = gst_video::VideoInfo::from_caps(caps)?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (width, stride) = (info.width() as usize, frame.plane_stride()[0] as usize);
    let rows = frame.plane_data(0)?.chunks(stride).take(info.height() as usize);
    let rows: Vec<&[u8]> = rows.map(|row| &row[..width]).collect();
    Ok(with(&rows, width))
}

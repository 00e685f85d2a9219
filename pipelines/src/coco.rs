//! Masks in the manner of COCO's annotations, a line of JSON for each frame.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use factorseg_refine::outline::{polygons, runs};
use gstreamer as gst;
use serde_json::{Value, json};

use crate::masks::{Mask, each_mask};
use crate::runner::Job;

/// How a region's place is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Segmentation {
    /// Lengths of runs down the columns, exact
    Rle,
    /// Polygons along the edges of the pixels; holes are covered
    Polygons,
}

/// Writes the masks of a job to a file.
///
/// # Errors
/// If it cannot be made.
pub fn write(job: &Job, path: &Path, segmentation: Segmentation) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let path = path.to_owned();
    each_mask(job, move |mask| {
        let line = format!("{}\n", frame(&mask, segmentation));
        file.write_all(line.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    })
}

fn frame(mask: &Mask, segmentation: Segmentation) -> Value {
    let objects: Vec<Value> = mask
        .objects()
        .into_iter()
        .map(|region| object(mask, region, segmentation))
        .collect();
    json!({
        "image_id": mask.index, "time": mask.time.map(gst::ClockTime::seconds_f64),
        "width": mask.width, "height": mask.height, "annotations": objects,
    })
}

/// One region; it wins at least a pixel.
fn object(mask: &Mask, region: u8, segmentation: Segmentation) -> Value {
    let pixels = || (0..mask.labels.len()).filter(|at| mask.labels[*at] == region);
    let span = |places: &dyn Fn(usize) -> usize| {
        let least = pixels().map(places).min().unwrap_or(0);
        (least, pixels().map(places).max().map_or(0, |most| most + 1 - least))
    };
    let ((x, width), (y, height)) = (span(&|at| at % mask.width), span(&|at| at / mask.width));
    let class = mask.report.as_ref().map_or("none", |report| &report.class);
    json!({
        "category": if class == "none" { "object" } else { class },
        "region": region,
        "bbox": [x, y, width, height],
        "area": pixels().count(),
        "iscrowd": matches!(segmentation, Segmentation::Rle) as u8,
        "segmentation": match segmentation {
            Segmentation::Rle => json!({"size": [mask.height, mask.width], "counts": runs(&mask.labels, mask.width, region)}),
            Segmentation::Polygons => json!(polygons(&mask.labels, mask.width, region)),
        },
    })
}

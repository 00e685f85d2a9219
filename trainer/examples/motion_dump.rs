//! What the motion model sees of DAVIS, for `docs/bench/motion.py`:
//! `cargo run --release -p factorseg-trainer --example motion_dump -- DAVIS OUT [CHECKPOINT]`.
//!
//! Of each sequence OUT/NAME holds `frames.u8` (`[n, 384, 672, 3]` for 16:9), `network.f32` (the object's probability by the
//! network, `[n, 96, 168]`), and `flow.f32` (`[n - 1, 2, 192, 336]`, each frame's to the one before).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use factorseg_model::segmenter::Engine;
use factorseg_model::{CheckpointSource, DeviceSpec, InputImage, Segmenter, SegmenterOptions};
use factorseg_refine::flow::{Pyramid, Search};
use factorseg_refine::{MotionModel, Plane};
use factorseg_trainer::evaluate::segment::network_input;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, out, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: motion_dump DAVIS OUT [CHECKPOINT]");
    };
    let source = rest
        .first()
        .map_or(CheckpointSource::Embedded, CheckpointSource::from_path);
    let (options, _) = SegmenterOptions::default().without_colors();
    let mut segmenter = Segmenter::load(&source, DeviceSpec::Cpu, &options)?;
    for sequence in fs::read_dir(Path::new(root).join("JPEGImages/480p"))? {
        let sequence = sequence?;
        dump(
            &mut segmenter,
            &sequence.path(),
            &Path::new(out).join(sequence.file_name()),
        )?;
    }
    Ok(())
}

fn dump(segmenter: &mut Segmenter, sequence: &Path, out: &Path) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(sequence)?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    fs::create_dir_all(out)?;
    let create = |name: &str| File::create(out.join(name)).with_context(|| format!("cannot write {name}"));
    let (mut frames, mut network, mut flows) = (create("frames.u8")?, create("network.f32")?, create("flow.f32")?);
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let is_object = segmenter.info().is_foreground();
    let mut search = Search::default();
    let mut before: Option<Pyramid> = None;
    for file in &files {
        let picture = image::open(file)?.into_rgb8();
        let size = segmenter.input_size(picture.width() as usize, picture.height() as usize);
        let seen = network_input(&picture, MotionModel::frame_size(size));
        let map = segmenter.segment(&[MotionModel::network_input(&seen)])?.remove(0);
        network.write_all(&bytes(&map.sum(&is_object)))?;
        frames.write_all(&interleaved(&seen))?;
        let pyramid = Pyramid::new(&brightness(&seen));
        if let Some(before) = &before {
            let flow = search.flow(&pyramid, before).halved();
            flows.write_all(&bytes(&flow.x.values))?;
            flows.write_all(&bytes(&flow.y.values))?;
        }
        before = Some(pyramid);
    }
    println!("{}: {} frames", out.display(), files.len());
    Ok(())
}

fn interleaved(image: &InputImage) -> Vec<u8> {
    let pixels = image.width * image.height;
    let byte = |value: f32| (127.5 * (value + 1.0)).round() as u8;
    let colors = |pixel: usize| [0, 1, 2].map(|channel| byte(image.data[channel * pixels + pixel]));
    (0..pixels).flat_map(colors).collect()
}

/// Rec. 601, 0 to 255.
fn brightness(image: &InputImage) -> Plane {
    let (width, height) = (image.width, image.height);
    let luma = |pixel: usize| {
        let [red, green, blue] = [0, 1, 2].map(|channel| image.data[channel * width * height + pixel]);
        127.5 * (0.299 * red + 0.587 * green + 0.114 * blue + 1.0)
    };
    Plane::from_fn(width, height, |x, y| luma(y * width + x))
}

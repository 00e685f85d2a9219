//! Draws every overlay on a picture, to be looked at: with the masks of a model, or with those of an annotation, a
//! black and white picture, which shows the drawing alone.
//!
//! ```text
//! cargo run --release -p gst-plugin-factorseg --example overlays -- frame.jpg directory [annotation.png]
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions};
use gst::prelude::*;
use gstfactorseg::FactorSeg;
use gstfactorseg::parts::layout::{Layout, OwnedFrame};
use gstfactorseg::parts::sampling::Sampler;
use gstreamer as gst;
use gstreamer_video as gst_video;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is drawn: the file's name, and properties.
const OVERLAYS: [(&str, &str); 8] = [
    ("none", "overlay=none"),
    ("tint", "overlay=tint"),
    ("tint-guided", "overlay=tint refine=guided"),
    ("contour", "overlay=contour"),
    ("foreground", "overlay=foreground"),
    ("foreground-guided", "overlay=foreground refine=guided"),
    ("blur-background", "overlay=blur-background"),
    ("blur-background-guided", "overlay=blur-background refine=guided"),
];

/// Returns a picture, averaged to the size of its input.
struct Annotation {
    picture: Arc<Grey>,
    info: EngineInfo,
}

struct Grey {
    layout: Layout,
    frame: OwnedFrame,
}

impl Engine for Annotation {
    fn input_size(&self, width: usize, height: usize) -> (usize, usize) {
        let side = 64;
        let shorter = width.min(height).max(1);
        ((width * side).div_ceil(shorter), (height * side).div_ceil(shorter))
    }

    fn segment(&mut self, images: &[InputImage]) -> std::result::Result<Vec<RegionMap>, SegmentError> {
        Ok(images
            .iter()
            .map(|image| {
                let Grey { layout, frame } = &*self.picture;
                let mut sampler = Sampler::new(layout, image.width, image.height);
                let inside = sampler.average(&frame.read()).iter().map(|value| value / 255.0);
                RegionMap {
                    regions: 2,
                    width: image.width,
                    height: image.height,
                    probabilities: inside.clone().chain(inside.map(|p| 1.0 - p)).collect(),
                }
            })
            .collect())
    }

    fn set_options(&mut self, _: &SegmenterOptions) -> std::result::Result<(), SegmentError> {
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

/// Plays to the end.
fn play(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    pipeline.set_state(gst::State::Playing)?;
    let message = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(format!("{}: {:?}", error.error(), error.debug()).into()),
        _ => Ok(()),
    }
}

fn pipeline(description: &str) -> Result<gst::Pipeline> {
    gst::parse::launch(description)?
        .downcast()
        .map_err(|_| "a description of several elements is a pipeline".into())
}

/// The grey values of a picture file.
fn read(path: &Path) -> Result<Grey> {
    let pipeline = pipeline(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=GRAY8 ! fakesink name=sink \
         enable-last-sample=true sync=false",
        path.display()
    ))?;
    let sink = pipeline.by_name("sink").ok_or("there is a sink")?;
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    pipeline.set_state(gst::State::Playing)?;
    bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
    let sample: Option<gst::Sample> = sink.property("last-sample");
    pipeline.set_state(gst::State::Null)?;
    let sample = sample.ok_or_else(|| format!("{} holds no picture", path.display()))?;
    let info = gst_video::VideoInfo::from_caps(sample.caps().ok_or("a sample has caps")?)?;
    let bytes = sample.buffer().ok_or("a sample has a buffer")?.map_readable()?;
    Ok(Grey {
        layout: Layout::new(&info),
        frame: OwnedFrame {
            planes: vec![(bytes.to_vec(), info.stride()[0] as usize)],
        },
    })
}

fn main() -> Result<()> {
    gst::init()?;
    gstfactorseg::plugin_register_static()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [picture, directory, annotation @ ..] = arguments.as_slice() else {
        return Err("usage: overlays PICTURE DIRECTORY [ANNOTATION]".into());
    };
    std::fs::create_dir_all(directory)?;
    let annotation = match annotation.first() {
        Some(path) => Some(Arc::new(read(Path::new(path))?)),
        None => None,
    };
    for (name, properties) in OVERLAYS {
        let pipeline = pipeline(&format!(
            "filesrc location={picture} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! factorseg name=segment \
             {properties} ! videoconvert ! video/x-raw,format=RGB ! pngenc snapshot=true ! \
             filesink location={directory}/{name}.png"
        ))?;
        if let Some(annotation) = annotation.clone() {
            let element = pipeline.by_name("segment").and_downcast::<FactorSeg>();
            element
                .ok_or("there is a factorseg")?
                .set_engine_factory(Arc::new(move |_| {
                    Ok(Box::new(Annotation {
                        picture: annotation.clone(),
                        info: EngineInfo {
                            model: "annotation".into(),
                            regions: 2,
                            timesteps: 1000,
                            foreground_regions: vec![0],
                            ..EngineInfo::default()
                        },
                    }))
                }));
        }
        play(&pipeline)?;
        println!("{directory}/{name}.png");
    }
    Ok(())
}

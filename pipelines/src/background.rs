//! `factorseg-pipeline background`: what is behind the object blurred, or replaced.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use gst::prelude::*;
use gstreamer as gst;

use crate::arguments::{Element, From, To};
use crate::input::{HEAD, Input};
use crate::parse::{named, on_caps};
use crate::runner::{Ending, Job, Stop};
use crate::shown::end_with;

/// Blur what is behind the object, or put a picture or a clip there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  factorseg-pipeline background --in /dev/video0 --out /dev/video9 motion-model=false
  factorseg-pipeline background --in /dev/video0 --out /dev/video9 --with beach.jpg motion-model=false smoothing=0.5
  factorseg-pipeline background --in holiday.mp4 --out elsewhere.mp4 --with waves.mp4 refine=guided
  factorseg-pipeline background --in holiday.mp4 --out blurred.mp4 blur-strength=4")]
pub struct Background {
    #[command(flatten)]
    from: From,

    #[command(flatten)]
    to: To,

    /// Picture or clip behind the object; a clip that ends begins again [default: the picture's own background, blurred]
    #[arg(long, value_name = "FILE")]
    with: Option<String>,

    #[command(flatten)]
    element: Element,
}

impl Background {
    /// Runs the command.
    ///
    /// # Errors
    /// If the input cannot be read, the output not written, or the pipeline fails.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let input = self.from.input()?;
        let behind = match &self.with {
            Some(place) => Some(Input::from_place(place, &self.from.options)?),
            None => None,
        };
        let inputs: Vec<&Input> = [&input].into_iter().chain(&behind).collect();
        let output = &self.to.output;
        output.check(&inputs)?;
        let end = output.description(input.is_live());
        let description = match behind {
            None => format!("{HEAD} ! factorseg name=segment overlay=blur-background ! {end}"),
            // In I420 the element adds an opacity.
            Some(_) => format!(
                "compositor name=both background=black sink_0::zorder=0 sink_1::zorder=1 sink_0::repeat-after-eos=true ! capsfilter name=rate ! {end} \
                 {HEAD} ! video/x-raw,format=I420 ! factorseg name=segment overlay=foreground ! queue ! both.sink_1 \
                 videoconvert name=behind ! aspectratiocrop name=crop ! queue ! both.sink_0"
            ),
        };
        let job = Job::new(&description, &self.element.properties, stop)?;
        output.prepare(&job)?;
        if let Some(behind) = &behind {
            put_behind(&job, behind)?;
        }
        input.add_to(&job, "in", output.sound())?;
        Ok(output.done(job.run().await?))
    }
}

/// Leads `behind` into the compositor: as large and as fast as the video, again and again, and no longer than that.
fn put_behind(job: &Job, behind: &Input) -> Result<()> {
    let pad = |name: &str, pad: &str| {
        named(&job.pipeline, name)?
            .static_pad(pad)
            .context("there is no such pad")
    };
    let (first, place, out) = (pad("behind", "sink")?, pad("both", "sink_0")?, pad("both", "src")?);

    // It waits until the size of the video is known, which the compositor would otherwise take from it.
    let gate = first.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| gst::PadProbeReturn::Ok);
    let gate = Mutex::new(gate.map(|gate| (first.clone(), gate)));
    let (crop, rate) = (named(&job.pipeline, "crop")?, named(&job.pipeline, "rate")?);
    on_caps(&job.shown[0].segment, move |video| {
        let (width, height) = (video.width() as i32, video.height() as i32);
        let shape = gst::Fraction::new(width, height) * video.par();
        crop.set_property("aspect-ratio", shape);
        place.set_property("width", width);
        place.set_property("height", height);
        // A stream may not say.
        let fps = Some(video.fps()).filter(|fps| fps.numer() > 0);
        let same = gst::Caps::builder("video/x-raw").field("pixel-aspect-ratio", video.par());
        rate.set_property("caps", same.field_if_some("framerate", fps).build());
        if let Some((first, gate)) = gate.lock().ok().and_then(|mut gate| gate.take()) {
            first.remove_probe(gate);
        }
    })?;
    again_and_again(&first);

    end_with(&out, job.shown.clone());
    behind.add_to(job, "behind", None)
}

/// Plays the clip that comes into `pad` as a segment that begins anew where it ends. A picture, which is one frame, just ends.
fn again_and_again(pad: &gst::Pad) {
    let begin = |pad: &gst::Pad, flags: gst::SeekFlags| {
        let seek = gst::event::Seek::new(
            1.0,
            flags | gst::SeekFlags::SEGMENT,
            gst::SeekType::Set,
            gst::ClockTime::ZERO,
            gst::SeekType::None,
            gst::ClockTime::NONE,
        );
        // Not from the thread that brings the frames.
        if let Some(element) = pad.parent_element() {
            let pad = pad.clone();
            element.call_async(move |_| {
                pad.push_event(seek);
            });
        }
    };
    let frames = AtomicUsize::new(0);
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(what, move |pad, info| {
        if info.buffer().is_some() && frames.fetch_add(1, Ordering::Relaxed) == 1 {
            begin(pad, gst::SeekFlags::FLUSH);
        }
        if info
            .event()
            .is_some_and(|event| event.type_() == gst::EventType::SegmentDone)
        {
            begin(pad, gst::SeekFlags::empty());
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

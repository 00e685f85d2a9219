//! The video by WebRTC, through the element `whepserversink` of gst-plugin-webrtc: `webrtcsink` that is asked by WHEP, a standard
//! of one HTTP request. The requests come through our own server, and so past its token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow, ensure};
use gst::glib;
use gst::glib::subclass::SignalId;
use gst::prelude::*;
use gstreamer as gst;

use crate::output::Output;
use crate::parse::{named, package};

/// The element, and its name in the pipeline.
const SINK: &str = "whepserversink";

/// Elements that it needs when somebody looks.
const NEEDED: [&str; 3] = ["webrtcbin", "nicesink", "rtph264pay"];

/// The sink of a running pipeline.
#[derive(Debug)]
pub struct WebRtc {
    sink: gst::Element,
    /// The sink has tried its codecs on the first frames.
    started: Arc<AtomicBool>,
}

/// What a browser is answered.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// An SDP where all went well, else why not.
    pub body: Vec<u8>,
}

/// Whether all that it takes is installed.
///
/// # Errors
/// If something is not, with the way to get it.
pub fn is_installed() -> Result<()> {
    let way = "scripts/webrtc.sh builds it, as docs/pipelines.md says";
    let sink = gst::ElementFactory::make(SINK).build();
    let sink = sink.map_err(|_| anyhow!("the GStreamer element `{SINK}` is missing; {way}"))?;
    let signaller = sink.property::<glib::Object>("signaller");
    ensure!(
        SignalId::lookup("post", signaller.type_()).is_some(),
        "the GStreamer element `{SINK}` is too old to have its requests passed on to it; {way}"
    );
    for element in NEEDED {
        ensure!(
            gst::ElementFactory::find(element).is_some(),
            "the GStreamer element `{element}` is missing; install the package {}",
            package(element)
        );
    }
    Ok(())
}

impl WebRtc {
    /// The second half of [`Output::description`]: what writes for `output`, and sends the same encoded frames by WebRTC.
    pub fn description(output: &Output) -> String {
        // Every browser that receives H.264 receives this profile.
        format!(
            "video/x-h264,stream-format=byte-stream,profile=constrained-baseline ! tee name=coded ! queue ! {} \
             coded. ! queue ! {SINK} name={SINK} congestion-control=disabled video-caps=video/x-h264",
            output.write(true)
        )
    }

    /// Takes the sink of a pipeline with that description.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(pipeline: &gst::Pipeline) -> Result<Self> {
        let sink = named(pipeline, SINK)?;
        let webrtc = Self {
            sink,
            started: Arc::default(),
        };
        // No server of its own; and nobody elsewhere is asked which addresses this machine has.
        webrtc.signaller().set_property("host-addr", None::<String>);
        webrtc.signaller().set_property("stun-server", None::<String>);
        webrtc.sink.set_property("stun-server", None::<String>);
        let started = webrtc.started.clone();
        webrtc.signaller().connect("start", false, move |_| {
            started.store(true, Ordering::Release);
            Some(true.to_value())
        });
        // RTP's timestamps then say which frame it is: the page tells it when that is clicked on.
        webrtc.sink.connect("payloader-setup", false, |values| {
            if let Some(Ok(payloader)) = values.get(3).map(|value| value.get::<gst::Element>()) {
                payloader.set_property("timestamp-offset", 0_u32);
            }
            Some(false.to_value())
        });
        Ok(webrtc)
    }

    /// Whether offers can be answered. Who asks before the sink knows its codecs is sent the video twice in one answer, which no
    /// browser takes.
    pub fn has_begun(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Answers the offer of a browser, which is then sent the video.
    ///
    /// # Errors
    /// If the sink does not answer.
    pub async fn offer(&self, session: &str, offer: Vec<u8>) -> Result<Answer> {
        let (promise, reply) = gst::Promise::new_future();
        self.signaller()
            .emit_by_name::<()>("post", &[&session, &glib::Bytes::from_owned(offer), &promise]);
        let reply = reply.await.map_err(|_| anyhow!("WebRTC gives no answer"))?;
        let reply = reply.ok_or_else(|| anyhow!("WebRTC gives an empty answer"))?;
        let body = reply.get_optional::<glib::Bytes>("body")?;
        Ok(Answer {
            status: reply.get::<u32>("status")? as u16,
            body: body.map_or_else(Vec::new, |body| body.to_vec()),
        })
    }

    /// Ends what began with an offer.
    pub fn end(&self, session: &str) {
        self.signaller()
            .emit_by_name::<()>("delete", &[&session, &gst::Promise::new()]);
    }

    fn signaller(&self) -> glib::Object {
        self.sink.property("signaller")
    }
}

//! `factorseg-pipeline live`: the overlay in a web page, with controls.

pub mod controls;
pub mod regions;
pub mod segments;
pub mod server;
pub mod webrtc;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::arguments::{Element, From};
use crate::input::HEAD;
use crate::output::Output;
use crate::parse::named;
use crate::runner::{Ending, Job, Stop, say};
use regions::Regions;
use server::{Heard, PLAYLIST, Page};
use webrtc::WebRtc;

/// Show the overlay in a web page, with controls: click on what the object is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  factorseg-pipeline live --in /dev/video0
  factorseg-pipeline live --in holiday.mp4 overlay=contour
  factorseg-pipeline live --in rtsp://camera/stream --listen 0.0.0.0:8080    for other machines, with a token in the address")]
pub struct Live {
    #[command(flatten)]
    from: From,

    /// Address and port of the page. Beyond this machine (not 127.0.0.1 or [::1]) it takes the token in the address that is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    #[command(flatten)]
    element: Element,
}

impl Live {
    /// Runs the command, until someone asks to stop.
    ///
    /// # Errors
    /// If the input cannot be read, the address not listened on, or the pipeline fails.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let input = self.from.input()?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let output = Output::Hls(folder.path().join(PLAYLIST));
        let webrtc = webrtc::is_installed();
        let write = match webrtc {
            Ok(()) => WebRtc::description(&output),
            Err(_) => output.write(true),
        };
        let description = description(input.is_live(), &output.encode(true), &write);
        let job = Job::new(&description, &self.element.properties, stop)?;
        output.prepare(&job)?;
        input.add_to(&job, "in", output.sound())?;
        let masks = named(&job.pipeline, "masks")?.downcast::<gst_app::AppSink>();
        let page = Arc::new(Page {
            segment: job.shown[0].segment.clone(),
            folder,
            regions: Regions::watch(&masks.map_err(|_| anyhow!("`masks` is no appsink"))?),
            heard: Mutex::new(Heard::default()),
            goes_on: Notify::new(),
            webrtc: webrtc.and_then(|()| WebRtc::of(&job.pipeline)),
        });

        let token = (!self.listen.ip().is_loopback()).then(|| format!("{:032x}", rand::random::<u128>()));
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another --listen", self.listen))?;
        say(&format!(
            "page: {}",
            server::url(listener.local_addr()?, token.as_deref())
        ));
        say(&match &page.webrtc {
            Ok(_) => "video: by WebRTC, else by HLS".to_owned(),
            Err(missing) => format!("video: by HLS, seconds late; for WebRTC: {missing}"),
        });
        let router = server::router(page.clone(), token.as_deref());
        let play = async {
            job.run_and(|message| page.note(message)).await?;
            // The end of a video stays to be seen.
            stop.wait().await;
            Ok(Ending::Done)
        };
        tokio::select! {
            ending = play => ending,
            served = axum::serve(listener, router) => bail!("the page is not served any more: {served:?}"),
        }
    }
}

/// The picture never waits, for a mask or the encoder; a file is played at its own speed.
fn description(live: bool, encode: &str, write: &str) -> String {
    let pace = if live { "" } else { "! clocksync" };
    format!(
        "{HEAD} {pace} ! factorseg name=segment mode=latest ! queue leaky=downstream max-size-buffers=4 ! {encode} ! {write} \
         segment.mask_0 ! queue leaky=downstream max-size-buffers=1 ! appsink name=masks sync=false"
    )
}

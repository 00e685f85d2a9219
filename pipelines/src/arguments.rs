//! What all pipelines are told alike.

use clap::Args;

use crate::input::Input;
use crate::output::Output;

/// Where frames come from.
#[derive(Clone, Debug, Args)]
pub struct From {
    /// A video file, a folder of pictures (.jpg, .png), a camera (/dev/video0), a stream (rtsp://, http://), `clip` for the
    /// built-in clip, `test` for a moving test picture, `test-mjpg` for one that comes as a camera's JPEGs
    #[arg(long = "in", value_name = "PLACE")]
    pub source: String,

    /// What only some places need to be told.
    #[command(flatten)]
    pub options: InputOptions,
}

/// What only some places need to be told.
#[derive(Clone, Debug, Default, Args)]
pub struct InputOptions {
    /// Frame rate of a camera or of a folder of pictures [default: what the camera has, 24 of a folder]
    #[arg(long, value_name = "FPS")]
    pub frame_rate: Option<i32>,

    /// Size of a camera's frames; MJPG is taken where it has no others of this size [default: what the camera has]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    pub size: Option<(u32, u32)>,
}

impl From {
    /// The input that `--in` names.
    ///
    /// # Errors
    /// If nothing can be found there.
    pub fn input(&self) -> anyhow::Result<Input> {
        Input::from_place(&self.source, &self.options)
    }
}

/// Where frames go.
#[derive(Clone, Debug, Args)]
pub struct To {
    /// A video file (.mp4, .mkv), an HLS playlist (.m3u8), a virtual camera (/dev/video9), an RTSP server that takes streams
    /// (rtsp://), or `screen`
    #[arg(long = "out", value_name = "PLACE", default_value = "screen", value_parser = Output::from_place)]
    pub output: Output,
}

/// How the element is set.
#[derive(Clone, Debug, Args)]
pub struct Element {
    /// Properties of the element, as in `gst-inspect-1.0 factorseg`, such as overlay=contour or device=cpu; preset=NAME sets
    /// several at once
    #[arg(value_name = "PROPERTY=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, String)>,
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not PROPERTY=VALUE"))
}

/// A size such as 1280x720.
///
/// # Errors
/// If it is none.
pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .filter(|(width, height)| *width > 0 && *height > 0)
        .ok_or_else(|| format!("`{text}` is not WIDTHxHEIGHT, such as 1280x720"))
}

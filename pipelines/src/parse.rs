//! A pipeline from its description, with errors that say what to install or to look up.

use anyhow::{Context, Result, anyhow, bail, ensure};
use gst::glib::ffi::GFALSE;
use gst::glib::gobject_ffi::g_param_value_validate;
use gst::glib::translate::{ToGlibPtr, ToGlibPtrMut};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// Debian's packages of the elements that descriptions name. What is not here is in `gstreamer1.0-plugins-base`.
const PACKAGES: [(&str, &[&str]); 6] = [
    (
        "gstreamer1.0-plugins-good",
        &[
            "autovideosink",
            "jpegdec",
            "jpegenc",
            "matroskamux",
            "mp4mux",
            "multifilesink",
            "pngenc",
            "rtph264pay",
            "rtspsrc",
            "v4l2sink",
            "v4l2src",
            "videocrop",
            "aspectratiocrop",
            "videoflip",
        ],
    ),
    ("gstreamer1.0-plugins-bad", &["h264parse", "hlssink2", "webrtcbin"]),
    ("gstreamer1.0-plugins-ugly", &["x264enc"]),
    ("gstreamer1.0-libav", &["avenc_aac", "avenc_ffv1"]),
    ("gstreamer1.0-nice", &["nicesink"]),
    ("gstreamer1.0-rtsp", &["rtspclientsink"]),
];

/// The Debian package that an element is in.
pub fn package(element: &str) -> &'static str {
    PACKAGES
        .iter()
        .find(|(_, elements)| elements.contains(&element))
        .map_or("gstreamer1.0-plugins-base", |(package, _)| package)
}

/// A text as one value of a description, whatever is in it.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Makes the pipeline of a description, as of `gst-launch-1.0`.
///
/// # Errors
/// If an element is not installed, with the package that has it, or the description is wrong.
pub fn pipeline(description: &str) -> Result<gst::Pipeline> {
    parsed(description, |context| {
        gst::parse::launch_full(description, Some(context), gst::ParseFlags::FATAL_ERRORS)
    })?
    .downcast()
    .map_err(|_| anyhow!("`{description}` is no pipeline"))
}

/// Makes the part of a pipeline that a description tells, with a pad at each end that is open.
///
/// # Errors
/// As [`pipeline`].
pub fn bin(description: &str) -> Result<gst::Bin> {
    parsed(description, |context| {
        gst::parse::bin_from_description_full(description, true, Some(context), gst::ParseFlags::FATAL_ERRORS)?
            .downcast::<gst::Bin>()
            .map_err(|_| gst::glib::Error::new(gst::ParseError::Link, "it is no bin"))
    })
}

fn parsed<T>(
    description: &str,
    parse: impl FnOnce(&mut gst::ParseContext) -> Result<T, gst::glib::Error>,
) -> Result<T> {
    let mut context = gst::ParseContext::new();
    parse(&mut context).map_err(|error| match context.missing_elements().first() {
        Some(name) => anyhow!(
            "the GStreamer element `{name}` is missing; install the package {}",
            package(name)
        ),
        None => anyhow!(error).context(format!("cannot make `{description}`")),
    })
}

/// An element of a pipeline that was made from a description, by its name.
///
/// # Errors
/// If there is none.
pub fn named(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element> {
    pipeline
        .by_name(name)
        .with_context(|| format!("the pipeline has no `{name}`"))
}

/// Sets properties of `factorseg`, in the notation of `gst-launch-1.0`; `mask_0::format` is the pad's, `preset=NAME` sets several.
///
/// # Errors
/// If there is no such property, or it refuses the value.
pub fn set_properties(element: &gst::Element, properties: &[(String, String)]) -> Result<()> {
    properties
        .iter()
        .try_for_each(|(name, value)| match name.split_once("::") {
            Some((pad, name)) => match element.static_pad(pad) {
                Some(pad) => set_property(pad.upcast_ref(), name, value),
                None => bail!("factorseg has no pad `{pad}` here"),
            },
            None if name == "preset" => load_preset(element, value),
            None => set_property(element.upcast_ref(), name, value),
        })
}

/// Sets what a preset says: one of the user's or the system's, else one that is shipped.
fn load_preset(element: &gst::Element, name: &str) -> Result<()> {
    if element
        .dynamic_cast_ref::<gst::Preset>()
        .is_some_and(|preset| preset.load_preset(name).is_ok())
    {
        return Ok(());
    }
    let shipped = gst::glib::KeyFile::new();
    shipped.load_from_data(gstfactorseg::PRESETS, gst::glib::KeyFileFlags::NONE)?;
    let visible = |name: &str| !name.starts_with('_');
    if !visible(name) || !shipped.has_group(name) {
        let groups = shipped.groups();
        let names: Vec<_> = groups
            .iter()
            .map(|name| name.as_str())
            .filter(|name| visible(name))
            .collect();
        bail!("factorseg has no preset `{name}`; there are `{}`", names.join("`, `"));
    }
    for key in shipped
        .keys(name)?
        .iter()
        .map(|key| key.as_str())
        .filter(|key| visible(key))
    {
        set_property(element.upcast_ref(), key, &shipped.value(name, key)?)?;
    }
    Ok(())
}

fn set_property(object: &gst::glib::Object, name: &str, value: &str) -> Result<()> {
    let spec = object
        .find_property(name)
        .with_context(|| format!("factorseg has no property `{name}`; see `gst-inspect-1.0 factorseg`"))?;
    ensure!(
        spec.flags().contains(gst::glib::ParamFlags::WRITABLE),
        "the property `{name}` of factorseg is read-only"
    );
    let mut parsed = gst::glib::Value::deserialize_with_pspec(value, &spec)
        .map_err(|_| anyhow!("`{value}` is no value for the property `{name}`; see `gst-inspect-1.0 factorseg`"))?;
    // SAFETY: both live, and the value has the type of the specification.
    let corrected = unsafe { g_param_value_validate(spec.to_glib_none().0, parsed.to_glib_none_mut().0) };
    ensure!(
        corrected == GFALSE,
        "`{value}` is out of range for the property `{name}`; see `gst-inspect-1.0 factorseg`"
    );
    object.set_property_from_value(name, &parsed);
    Ok(())
}

/// Calls `set` as soon as the format of the frames is known at the element's sink pad, and when it changes.
///
/// # Errors
/// If it has no such pad.
pub fn on_caps(element: &gst::Element, set: impl Fn(&gst_video::VideoInfo) + Send + Sync + 'static) -> Result<()> {
    let pad = element.static_pad("sink").context("there is no pad for frames")?;
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
            && let Ok(video) = gst_video::VideoInfo::from_caps(caps.caps())
        {
            set(&video);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

#[cfg(test)]
mod tests;

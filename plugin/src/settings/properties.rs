//! The element's properties: what they are called and may be, and the settings behind them.

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use super::Settings;

/// All of them, with `stats`, which no setting is behind.
pub(crate) fn specs() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
            glib::ParamSpecString::builder("model")
                .nick("Model")
                .blurb("Checkpoint, a file or a directory with model.safetensors; empty for the built-in one")
                .default_value(Some(default.model.as_str()))
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("device")
                .nick("Device")
                .blurb("Where the network runs: auto (CUDA if there is one, else cpu), cpu, cuda, cuda:N")
                .default_value(Some(default.device.as_str()))
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("precision", default.precision)
            .nick("Precision")
            .blurb("What the network computes in")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of the network on the CPU, shared by elements with the same number; 0 for one per core")
            .maximum(1024)
            .default_value(default.threads)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("class")
                .nick("Class")
                .blurb("Class to look for: a name, a WordNet id or an index of the model's classes, or none")
                .default_value(Some(default.class.as_str()))
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("timestep")
                .nick("Timestep")
                .blurb("Noise level at which frames are segmented, 1 to the model's number of timesteps")
                .minimum(1)
                .maximum(1_000_000)
                .default_value(default.timestep)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt64::builder("seed")
                .nick("Seed")
                .blurb("Seed of the noise, the same for all frames, so that a still video has still masks")
                .default_value(default.seed)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("samples")
                .nick("Samples")
                .blurb("Noise draws whose masks are averaged; the cost grows with them")
                .minimum(1)
                .maximum(64)
                .default_value(default.samples)
                .mutable_playing()
                .build(),
            glib::ParamSpecBoolean::builder("color-model")
                .nick("Color model")
                .blurb("Judge pixels again by the colors of the frame's own regions")
                .default_value(default.color_model)
                .mutable_playing()
                .build(),
            glib::ParamSpecBoolean::builder("motion-model")
                .nick("Motion model")
                .blurb("Judge masks again by what moves on its own since the last frame that was segmented")
                .default_value(default.motion_model)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("mode", default.mode)
                .nick("Mode")
                .blurb("When frames are segmented")
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("interval")
                .nick("Interval")
                .blurb("Segment one frame of this many and reuse its mask for the others; 1 for every frame")
                .minimum(1)
                .default_value(default.interval)
                .mutable_playing()
                .build(),
            glib::ParamSpecBoolean::builder("qos")
                .nick("Quality of service")
                .blurb("In mode every-frame, reuse the last mask for frames that would come too late at the sink")
                .default_value(default.qos)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("overlay", default.overlay)
                .nick("Overlay")
                .blurb("What is drawn on the frames")
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("alpha")
                .nick("Alpha")
                .blurb("Opacity of overlay=tint and contour, 0 is invisible")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(default.alpha)
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("colors")
                .nick("Colors")
                .blurb("Colours of regions 1, 2, ... as RRGGBB in hexadecimal, separated by commas; empty for a built-in palette")
                .default_value(Some(default.colors.as_str()))
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("background-color")
                .nick("Background color")
                .blurb("Colour behind overlay=foreground, 0xRRGGBB")
                .maximum(0xff_ffff)
                .default_value(default.background_color)
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("foreground-regions")
                .nick("Foreground regions")
                .blurb("Regions that are the object: auto (the model's own; all if it names none), all, or numbers from 1, separated by commas")
                .default_value(Some(default.foreground_regions.as_str()))
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("refine", default.refine)
                .nick("Refine")
                .blurb("How masks are brought to the size of the frames")
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("sharpness")
                .nick("Sharpness")
                .blurb("Exponent of the probabilities, which are then divided by their sum: above 1, soft masks become harder")
                .minimum(1.0)
                .maximum(100.0)
                .default_value(default.sharpness)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("smoothing")
                .nick("Smoothing")
                .blurb("Share of the mask before in each mask where both agree; 0 for none")
                .minimum(0.0)
                .maximum(0.99)
                .default_value(default.smoothing)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("on-error", default.on_error)
                .nick("On error")
                .blurb("What happens when frames cannot be segmented")
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("frames, inferred, reused, dropped (not segmented for a newer one), mask-age and latency-p50, -p95, -p99 in ns, model, device, mode")
                .read_only()
                .build(),
        ]
}

/// Sets the setting behind the property `name`.
pub(crate) fn set(settings: &mut Settings, name: &str, value: &glib::Value) {
    // GObject has checked the type; a string that is unset is empty.
    fn get<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> T
    where
        <T as glib::value::FromValue<'a>>::Checker:
            glib::value::ValueTypeChecker<Error = glib::value::ValueTypeMismatchError>,
    {
        value.get().expect("type checked upstream")
    }
    let string = || get::<Option<String>>(value).unwrap_or_default();
    match name {
        "model" => settings.model = string(),
        "device" => settings.device = string(),
        "precision" => settings.precision = get(value),
        "threads" => settings.threads = get(value),
        "class" => settings.class = string(),
        "timestep" => settings.timestep = get(value),
        "seed" => settings.seed = get(value),
        "samples" => settings.samples = get(value),
        "color-model" => settings.color_model = get(value),
        "motion-model" => settings.motion_model = get(value),
        "mode" => settings.mode = get(value),
        "interval" => settings.interval = get(value),
        "qos" => settings.qos = get(value),
        "overlay" => settings.overlay = get(value),
        "alpha" => settings.alpha = get(value),
        "colors" => settings.colors = string(),
        "background-color" => settings.background_color = get(value),
        "foreground-regions" => settings.foreground_regions = string(),
        "refine" => settings.refine = get(value),
        "sharpness" => settings.sharpness = get(value),
        "smoothing" => settings.smoothing = get(value),
        "on-error" => settings.on_error = get(value),
        name => unreachable!("no writable property {name}"),
    }
}

/// The setting behind the property `name`.
pub(crate) fn get(settings: &Settings, name: &str) -> glib::Value {
    match name {
        "model" => settings.model.to_value(),
        "device" => settings.device.to_value(),
        "precision" => settings.precision.to_value(),
        "threads" => settings.threads.to_value(),
        "class" => settings.class.to_value(),
        "timestep" => settings.timestep.to_value(),
        "seed" => settings.seed.to_value(),
        "samples" => settings.samples.to_value(),
        "color-model" => settings.color_model.to_value(),
        "motion-model" => settings.motion_model.to_value(),
        "mode" => settings.mode.to_value(),
        "interval" => settings.interval.to_value(),
        "qos" => settings.qos.to_value(),
        "overlay" => settings.overlay.to_value(),
        "alpha" => settings.alpha.to_value(),
        "colors" => settings.colors.to_value(),
        "background-color" => settings.background_color.to_value(),
        "foreground-regions" => settings.foreground_regions.to_value(),
        "refine" => settings.refine.to_value(),
        "sharpness" => settings.sharpness.to_value(),
        "smoothing" => settings.smoothing.to_value(),
        "on-error" => settings.on_error.to_value(),
        name => unreachable!("no readable property {name}"),
    }
}

//! The element's properties: what they are called and may be, and the settings behind them.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::choices::{ErrorPolicy, FillHoles, Mode, Overlay, Precision, Refine};
use factorseg_model::SegmenterOptions;

/// The builder of a property of a type.
macro_rules! builder {
    (String, $name:literal, $default:expr) => {
        glib::ParamSpecString::builder($name).default_value(Some($default.as_str()))
    };
    (bool, $name:literal, $default:expr) => {
        glib::ParamSpecBoolean::builder($name).default_value($default)
    };
    (u32, $name:literal, $default:expr) => {
        glib::ParamSpecUInt::builder($name).default_value($default)
    };
    (u64, $name:literal, $default:expr) => {
        glib::ParamSpecUInt64::builder($name).default_value($default)
    };
    (f64, $name:literal, $default:expr) => {
        glib::ParamSpecDouble::builder($name).default_value($default)
    };
    ($choice:ident, $name:literal, $default:expr) => {
        glib::ParamSpecEnum::builder_with_default($name, $default)
    };
}

/// A value of a type that GObject has checked; a string that is unset is empty.
macro_rules! read {
    (String, $value:expr) => {
        $value
            .get::<Option<String>>()
            .expect("type checked upstream")
            .unwrap_or_default()
    };
    ($type:ident, $value:expr) => {
        $value.get::<$type>().expect("type checked upstream")
    };
}

/// Makes [`Settings`] of a list: field, property, type, default, limits, nick and blurb.
macro_rules! settings {
    ($($field:ident $name:literal: $type:ident = $default:expr $(, $limit:ident $bound:literal)*; $nick:literal, $blurb:literal;)*) => {
        /// The properties as they were set.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(pub(crate) $field: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Settings {
            /// All properties, with `stats`, which no setting is behind, and the old name of `target-class`.
            pub fn specs() -> Vec<glib::ParamSpec> {
                let default = Self::default();
                let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("frames, inferred, reused, dropped (not segmented for a newer one), unjudged (by a refinement), mask-age and latency-p50, -p95, -p99 in ns, model, device, instructions, precision, mode")
                    .read_only()
                    .build();
                let class = glib::ParamSpecString::builder("class")
                    .nick("Class")
                    .blurb("Deprecated: use target-class")
                    .default_value(Some(default.target_class.as_str()))
                    .mutable_playing()
                    .deprecated()
                    .build();
                vec![
                    $(builder!($type, $name, default.$field)$(.$limit($bound))*.nick($nick).blurb($blurb).mutable_playing().build(),)*
                    class,
                    stats,
                ]
            }

            /// Sets the setting behind the property `name`.
            pub fn set(&mut self, name: &str, value: &glib::Value) {
                match name {
                    $($name => self.$field = read!($type, value),)*
                    "class" => self.set("target-class", value),
                    name => unreachable!("no writable property {name}"),
                }
            }

            /// The setting behind the property `name`.
            pub fn get(&self, name: &str) -> glib::Value {
                match name {
                    $($name => self.$field.to_value(),)*
                    "class" => self.get("target-class"),
                    name => unreachable!("no readable property {name}"),
                }
            }
        }
    };
}

settings! {
    model "model": String = String::new();
        "Model", "Checkpoint, a file or a directory with model.safetensors; empty for the built-in one";
    device "device": String = "auto".to_owned();
        "Device", "Where the network runs: auto (CUDA if there is one, else cpu), cpu, cuda, cuda:N";
    precision "precision": Precision = Precision::default();
        "Precision", "What the network computes in";
    threads "threads": u32 = 0, maximum 1024;
        "Threads", "Threads of the network on the CPU, shared by elements with the same number; 0 for one per core, of four cores and more one less";
    target_class "target-class": String = "none".to_owned();
        "Target class", "Class to look for: a name, a WordNet id or an index of the model's classes, or none";
    timestep "timestep": u32 = SegmenterOptions::default().timestep as u32, minimum 1, maximum 1_000_000;
        "Timestep", "Noise level at which frames are segmented, 1 to the model's number of timesteps";
    seed "seed": u64 = SegmenterOptions::default().seed;
        "Seed", "Seed of the noise, the same for all frames, so that a still video has still masks";
    samples "samples": u32 = SegmenterOptions::default().samples as u32, minimum 1, maximum 64;
        "Samples", "Noise draws whose masks are averaged; the cost grows with them";
    color_model "color-model": bool = SegmenterOptions::default().color_model;
        "Color model", "Judge pixels again by the colors of the frame's own regions, in video until motion has shown the object";
    fill_holes "fill-holes": FillHoles = FillHoles::default();
        "Fill holes", "Which holes in the object that the color model finds become object";
    motion_model "motion-model": bool = true;
        "Motion model", "Judge masks again by what moves on its own since the last frame that was segmented";
    mode "mode": Mode = Mode::default();
        "Mode", "When frames are segmented";
    interval "interval": u32 = 1, minimum 1;
        "Interval", "The network sees one frame of this many; motion judges the others, or with motion-model=false they get its mask";
    skip_still "skip-still": u32 = 0, maximum 255;
        "Skip still frames", "Reuse the mask of the frame segmented last while no part of the picture differs from it by as many levels of 255; 0 for never";
    qos "qos": bool = true;
        "Quality of service", "In mode every-frame, reuse the last mask for frames that would come too late at the sink";
    overlay "overlay": Overlay = Overlay::default();
        "Overlay", "What is drawn on the frames";
    alpha "alpha": f64 = 0.5, minimum 0.0, maximum 1.0;
        "Alpha", "Opacity of overlay=tint and contour, 0 is invisible";
    colors "colors": String = String::new();
        "Colors", "Colours of regions 1, 2, ... as RRGGBB in hexadecimal, separated by commas; empty for a built-in palette";
    background_color "background-color": u32 = 0;
        "Background color", "Colour behind overlay=foreground, 0xAARRGGBB; where frames can be transparent, AA is its opacity";
    blur_strength "blur-strength": u32 = 2, minimum 1, maximum 64;
        "Blur strength", "How far overlay=blur-background blurs, in hundredths of the frame's shorter side";
    foreground_regions "foreground-regions": String = "auto".to_owned();
        "Foreground regions", "Regions that are the object: auto (the model's own; all if it names none), all, or numbers from 1, separated by commas";
    refine "refine": Refine = Refine::default();
        "Refine", "How masks are brought to the size of the frames";
    threshold "threshold": f64 = 0.5, minimum 0.01, maximum 0.99;
        "Threshold", "Probability from which on the foreground wins: lower for more of the picture, higher for less";
    min_area "min-area": f64 = 0.0, minimum 0.0, maximum 1.0;
        "Least area", "Pieces of the foreground below this share of the picture are dropped";
    sharpness "sharpness": f64 = 1.0, minimum 1.0, maximum 100.0;
        "Sharpness", "Exponent of the probabilities, which are then divided by their sum: above 1, soft masks become harder";
    smoothing "smoothing": f64 = 0.0, minimum 0.0, maximum 0.99;
        "Smoothing", "Share of the mask before in each mask where both agree; 0 for none";
    post_messages "post-messages": bool = false;
        "Post messages", "Post an element message with the facts of each mask, for applications that look at no buffers";
    on_error "on-error": ErrorPolicy = ErrorPolicy::default();
        "On error", "What happens when frames cannot be segmented";
}

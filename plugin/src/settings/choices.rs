//! The properties that are a choice of a few.

use gstreamer::glib;

/// What the network computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegPrecision")]
#[repr(i32)]
pub enum Precision {
    /// 32 bits on every device.
    #[default]
    #[enum_value(name = "Auto: f32", nick = "auto")]
    Auto,
    /// 32-bit floating point.
    #[enum_value(name = "32-bit floating point", nick = "f32")]
    F32,
    /// bfloat16 weights and inputs of convolutions.
    #[enum_value(name = "bfloat16, on CUDA and on processors with AVX512-BF16", nick = "bf16")]
    Bf16,
}

impl From<Precision> for factorseg_model::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// When frames are segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegMode")]
#[repr(i32)]
pub enum Mode {
    /// As the source is live or not.
    #[default]
    #[enum_value(name = "Auto: latest if upstream is live, else every-frame", nick = "auto")]
    Auto,
    /// Each frame waits for its own mask.
    #[enum_value(name = "Every frame waits for its own mask (exact)", nick = "every-frame")]
    EveryFrame,
    /// Frames pass at once with the newest mask.
    #[enum_value(name = "Frames pass at once with the newest mask (never blocks)", nick = "latest")]
    Latest,
}

/// What is drawn on the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegOverlay")]
#[repr(i32)]
pub enum Overlay {
    /// Nothing.
    #[enum_value(name = "None: frames stay as they are", nick = "none")]
    None,
    /// Colours over the foreground regions.
    #[default]
    #[enum_value(name = "Tint: foreground regions in their colours", nick = "tint")]
    Tint,
    /// Lines around the foreground regions.
    #[enum_value(name = "Contour: lines around foreground regions", nick = "contour")]
    Contour,
    /// The foreground alone.
    #[enum_value(
        name = "Foreground: the rest is background-color, transparent where that is and frames can be",
        nick = "foreground"
    )]
    Foreground,
    /// The foreground sharp, the rest blurred.
    #[enum_value(
        name = "Blur background: all but the foreground is blurred",
        nick = "blur-background"
    )]
    BlurBackground,
}

/// How masks are brought to the size of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegRefine")]
#[repr(i32)]
pub enum Refine {
    /// Bilinear interpolation.
    #[default]
    #[enum_value(name = "None: bilinear interpolation", nick = "none")]
    None,
    /// Guided filter.
    #[enum_value(
        name = "Guided: along the frame's edges, for tint, foreground, blur-background and foreground masks",
        nick = "guided"
    )]
    Guided,
}

/// Which holes in the object become object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegFillHoles")]
#[repr(i32)]
pub enum FillHoles {
    /// All but those whose colours are the background's.
    #[default]
    #[enum_value(name = "Auto: but for gaps, whose colors are the background's", nick = "auto")]
    Auto,
    /// All.
    #[enum_value(name = "All", nick = "all")]
    All,
    /// None.
    #[enum_value(name = "None", nick = "none")]
    None,
}

impl From<FillHoles> for factorseg_refine::FillHoles {
    fn from(holes: FillHoles) -> Self {
        match holes {
            FillHoles::Auto => Self::Auto,
            FillHoles::All => Self::All,
            FillHoles::None => Self::None,
        }
    }
}

/// What happens when a frame cannot be segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegErrorPolicy")]
#[repr(i32)]
pub enum ErrorPolicy {
    /// The stream ends with an error message.
    #[default]
    #[enum_value(name = "Fail: error message, the stream ends", nick = "fail")]
    Fail,
    /// Frames pass without a mask.
    #[enum_value(name = "Pass through: one warning, frames pass without a mask", nick = "passthrough")]
    Passthrough,
}

/// What the bytes of a mask pad mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegMaskFormat")]
#[repr(i32)]
pub enum MaskFormat {
    /// The winning region's number.
    #[default]
    #[enum_value(name = "Labels: number of the region that wins, from 1", nick = "labels")]
    Labels,
    /// Soft foreground.
    #[enum_value(name = "Foreground: its probability, 0 to 255", nick = "foreground")]
    Foreground,
    /// Hard foreground.
    #[enum_value(name = "Hard foreground: 255, the rest 0", nick = "foreground-hard")]
    HardForeground,
    /// All regions' probabilities.
    #[enum_value(
        name = "Regions: probability of each, 0 to 255, one picture below the other",
        nick = "regions"
    )]
    Regions,
}

impl MaskFormat {
    /// Whether the foreground is shown, soft or hard.
    pub(crate) fn is_foreground(self) -> bool {
        matches!(self, MaskFormat::Foreground | MaskFormat::HardForeground)
    }
}

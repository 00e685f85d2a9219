//! From samples to RGB and back, by the colorimetry of the caps (matrix, range, and transfer of HDR).

use factorseg_refine::vectorised;
use gstreamer_video as gst_video;

/// An RGB colour, each component in `0..=1`.
pub type Rgb = [f32; 3];

/// `0xRRGGBB` as RGB.
pub fn rgb(code: u32) -> Rgb {
    [code >> 16, code >> 8, code].map(|value| (value & 0xff) as f32 / 255.0)
}

/// How the colour samples of a format stand for RGB.
#[derive(Clone, Debug, PartialEq)]
pub struct Colorimetry {
    family: Family,
    /// From samples to RGB in `0..=1`: weights of the samples, and what is added.
    to_rgb: [[f32; 4]; 3],
    /// What is taken from a sample before it is divided by `scale`.
    offset: [f32; 3],
    scale: [f32; 3],
    /// Weights of red and blue in luma.
    kr: f32,
    kb: f32,
    transfer: Transfer,
}

/// How codes of `0..=1` stand for light.
#[derive(Clone, Debug, PartialEq)]
enum Transfer {
    /// As usual.
    Sdr,
    /// As usual up to reference white, which has this code.
    Hlg(f32),
    /// Perceptual quantiser: what each code looks like in SDR, at even steps.
    Pq(Vec<f32>),
}

/// What is shown white in SDR is as bright as this in HDR, in cd/m2 (ITU-R BT.2408).
const WHITE: f32 = 203.0;
/// The exponent of an SDR screen (ITU-R BT.1886).
const GAMMA: f32 = 2.4;

/// The perceptual quantiser (SMPTE ST 2084).
mod pq {
    const M1: f32 = 0.159_301_76;
    const M2: f32 = 78.843_75;
    const C1: f32 = 0.835_937_5;
    const C2: f32 = 18.851_563;
    const C3: f32 = 18.6875;

    /// The light of a code, in cd/m2.
    pub fn light(code: f32) -> f32 {
        let power = code.powf(1.0 / M2);
        10_000.0 * ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1)
    }

    /// The code of a light in cd/m2.
    pub fn code(light: f32) -> f32 {
        let power = (light / 10_000.0).powf(M1);
        ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
    }
}

impl Transfer {
    fn new(function: gst_video::VideoTransferFunction) -> Self {
        const STEPS: usize = 1023;
        match function {
            gst_video::VideoTransferFunction::Smpte2084 => {
                let shown = |step: usize| {
                    (pq::light(step as f32 / STEPS as f32) / WHITE)
                        .min(1.0)
                        .powf(1.0 / GAMMA)
                };
                Transfer::Pq((0..=STEPS).map(shown).collect())
            }
            gst_video::VideoTransferFunction::AribStdB67 => Transfer::Hlg(0.75),
            _ => Transfer::Sdr,
        }
    }

    /// What a code looks like in SDR, both `0..=1`. What is brighter than reference white is white.
    fn shown(&self, code: f32) -> f32 {
        match self {
            Transfer::Sdr => code,
            Transfer::Hlg(white) => (code / white).min(1.0),
            Transfer::Pq(table) => {
                let at = code * (table.len() - 1) as f32;
                let first = at as usize;
                let last = (first + 1).min(table.len() - 1);
                table[first] + (table[last] - table[first]) * (at - first as f32)
            }
        }
    }

    /// The code of what is seen so in SDR.
    fn code(&self, shown: f32) -> f32 {
        match self {
            Transfer::Sdr => shown,
            Transfer::Hlg(white) => shown * white,
            Transfer::Pq(_) => pq::code(WHITE * shown.powf(GAMMA)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rgb,
    Yuv,
    Gray,
}

impl Colorimetry {
    /// What the caps describe. A YUV format of unknown matrix is taken as BT.601.
    pub fn new(info: &gst_video::VideoInfo) -> Self {
        let family = if info.is_yuv() {
            Family::Yuv
        } else if info.is_gray() {
            Family::Gray
        } else {
            Family::Rgb
        };
        let colorimetry = info.colorimetry();
        let (offset, scale) = info.range_offsets(colorimetry.range());
        // The largest sample is 255 here, whatever the depth.
        let unit = 255.0 / ((1u32 << info.format_info().depth()[0]) - 1) as f32;
        let (kr, kb) = colorimetry.matrix().kr_kb().unwrap_or((0.299, 0.114));
        let (kr, kb) = (kr as f32, kb as f32);
        let offset = [0, 1, 2].map(|i| offset[i] as f32 * unit);
        let scale = [0, 1, 2].map(|i| (scale[i] as f32).max(1.0) * unit);
        Self {
            family,
            to_rgb: to_rgb(family, offset, scale, (kr, kb)),
            offset,
            scale,
            kr,
            kb,
            transfer: Transfer::new(colorimetry.transfer()),
        }
    }

    /// Number of colour components: 1 for grey, else 3.
    pub fn components(&self) -> usize {
        if self.family == Family::Gray { 1 } else { 3 }
    }

    /// Turns planes of samples (`0..=255`; of grey the first counts, of the others there must be three) into one of red (0),
    /// green (1) or blue (2) in `-1..=1`, clipped.
    pub fn to_rgb(&self, color: usize, samples: &[&[f32]], out: &mut [f32]) {
        let plane = |index: usize| samples.get(index).unwrap_or(&samples[0]);
        mix([0, 1, 2].map(|index| *plane(index)), self.to_rgb[color], out);
        if self.transfer != Transfer::Sdr {
            let shown = |value: f32| 2.0 * self.transfer.shown((value + 1.0) / 2.0) - 1.0;
            out.iter_mut().for_each(|value| *value = shown(*value));
        }
    }

    /// Turns RGB in `0..=1` into samples in `0..=255` (grey: luma in the first).
    pub fn samples_of(&self, rgb: Rgb) -> [f32; 3] {
        let rgb = rgb.map(|value| self.transfer.code(value));
        let luma = self.kr * rgb[0] + (1.0 - self.kr - self.kb) * rgb[1] + self.kb * rgb[2];
        let values = match self.family {
            Family::Rgb => rgb,
            Family::Gray => [luma; 3],
            Family::Yuv => [
                luma,
                (rgb[2] - luma) / (2.0 * (1.0 - self.kb)),
                (rgb[0] - luma) / (2.0 * (1.0 - self.kr)),
            ],
        };
        [0, 1, 2].map(|i| (self.offset[i] + self.scale[i] * values[i]).clamp(0.0, 255.0))
    }
}

/// Weights and constants of [`Colorimetry::to_rgb`], in `0..=1`.
fn to_rgb(family: Family, offset: [f32; 3], scale: [f32; 3], (kr, kb): (f32, f32)) -> [[f32; 4]; 3] {
    let kg = 1.0 - kr - kb;
    let (from_v, from_u) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
    let weights = match family {
        Family::Rgb => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        Family::Gray => [[1.0, 0.0, 0.0]; 3],
        Family::Yuv => [
            [1.0, 0.0, from_v],
            [1.0, -kb * from_u / kg, -kr * from_v / kg],
            [1.0, from_u, 0.0],
        ],
    };
    weights.map(|weights| {
        let weights: [f32; 3] = std::array::from_fn(|i| weights[i] / scale[i]);
        let constant = (0..3).map(|i| -weights[i] * offset[i]).sum();
        [weights[0], weights[1], weights[2], constant]
    })
}

vectorised! {
    fn mix(samples: [&[f32]; 3], weights: [f32; 4], out: &mut [f32]) {
        let samples = samples[0].iter().zip(samples[1]).zip(samples[2]);
        for (out, ((a, b), c)) in out.iter_mut().zip(samples) {
            let value = weights[0] * a + weights[1] * b + weights[2] * c + weights[3];
            *out = 2.0 * value.clamp(0.0, 1.0) - 1.0;
        }
    }
}

#[cfg(test)]
mod tests;

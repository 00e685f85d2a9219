//! What moves on its own in a video: masks judged again by motion.
//!
//! A picture alone says little of where its object ends; what moves together says it exactly. For each frame
//! [`MotionModel`] finds the optical flow to the frame before ([`flow`]), takes the camera's part away ([`camera`]), and
//! weighs what remains against what a network said of the frame. Nothing is learned, nothing is labelled: the
//! measure of motion is the picture's own noise. Where nothing moves on its own, the network alone decides.
//!
//! ```
//! use factorseg_motion::{MotionModel, Plane};
//!
//! let mut model = MotionModel::default();
//! let network = Plane::filled(56, 32, -0.5);
//! for frame in 0..2 {
//!     let colors = [0.2, 0.5, 0.8].map(|value| Plane::filled(112, 64, value + 0.01 * frame as f32));
//!     let judged = model.refine(&colors, &network);
//!     assert_eq!(judged.size(), (112, 64));
//! }
//! ```

#![warn(missing_docs)]

pub mod camera;
pub mod flow;
pub mod guided;
pub mod plane;
pub mod simd;

use camera::Residual;
use flow::{Flow, Pyramid, flow};
use guided::guided;
pub use plane::Plane;
use plane::quantile;

/// Weight of the log-odds of motion.
const MOTION: f32 = 2.0;
/// Weight of the network's log-odds beside full evidence of motion; without any it is 1.
const NETWORK: f32 = 0.25;
/// The logarithm of a residual relative to its threshold counts at most this.
const LIMIT: f32 = 2.0;
/// Standard deviation, in pixels, of the blur of residuals.
const SMOOTHING: f32 = 1.5;
/// Added to the residuals' scale, in pixels.
const NOISE: f32 = 0.03;
/// The share of a picture's residuals below its level of motion.
const LEVEL: f64 = 0.97;
/// The threshold between still and moving, in geometric means of the scale and the level of motion.
const THRESHOLD: f32 = 2.2;
/// In multiples of the scale: at the first level of motion nothing moves on its own (noise alone has 2.3 times its median, rippling water up to 5
/// there), from the second on the evidence counts in full.
const CONTRAST: (f32, f32) = (3.5, 7.0);
/// Weight of the frame before, brought along by the flow, at full evidence of motion and without any.
const MEMORY: (f32, f32) = (0.3, 0.9);
/// Another scene begins where pictures differ after flow by more than this, in grey levels, ...
const CUT: f32 = 12.0;
/// ... and by more than this share of the picture's standard deviation.
const CUT_SHARE: f32 = 0.5;

/// Judges masks of successive frames by motion; keeps the last frame.
#[derive(Clone, Debug, Default)]
pub struct MotionModel {
    previous: Option<Previous>,
}

#[derive(Clone, Debug)]
struct Previous {
    picture: Pyramid,
    log_odds: Plane,
}

impl MotionModel {
    /// Forgets the frame before: the next one begins a scene.
    pub fn reset(&mut self) {
        self.previous = None;
    }

    /// The log-odds of the foreground at each pixel of a frame.
    ///
    /// `colors` are the frame's red, green and blue, each from 0 to 1, at the size that motion is looked for (twice the
    /// network's input is a good one); `network` is what the network says, natural logarithms of odds at any size.
    /// A frame of another size than the one before, or with little in common with it, begins a scene.
    ///
    /// With r the length of the flow's difference to the camera's motion, blurred; s its median plus 0.03
    /// pixels; l its 97 % quantile and g rising from 0 to 1 as log l / s goes from log 3.5 to log 7:
    /// `z = (1 - 0.75 g) network + 2 g log(r / (2.2 sqrt(s l)))`, the logarithm within +-2. z is blended with that of the
    /// frame before, brought along by the flow, with a weight of that from 0.9 (g = 0) to 0.3 (g = 1). The result is z
    /// after the edges of the colours ([`guided`]); frames that are the same have the same result to the last bit.
    pub fn refine(&mut self, colors: &[Plane; 3], network: &Plane) -> Plane {
        let (width, height) = colors[0].size();
        let network = network.resized(width, height);
        let picture = Pyramid::new(brightness(colors));
        let known = self
            .previous
            .take()
            .filter(|previous| previous.log_odds.size() == (width, height));
        let mut log_odds = network;
        if let Some(previous) = known {
            let flow = flow(&picture, &previous.picture);
            if !is_cut(&picture, &previous.picture, &flow) {
                let evidence = Evidence::of(camera::residual(&flow));
                log_odds = evidence.weigh(&log_odds, &flow.warp(&previous.log_odds));
            }
        }
        let edged = (width.min(height) >= 2).then(|| guided(colors, &log_odds));
        self.previous = Some(Previous {
            picture,
            log_odds: log_odds.clone(),
        });
        edged.unwrap_or(log_odds)
    }
}

/// Luma of BT.601, 0 to 255.
fn brightness([red, green, blue]: &[Plane; 3]) -> Plane {
    let mut out = red.zip(green, |red, green| 255.0 * (0.299 * red + 0.587 * green));
    for (out, blue) in out.values.iter_mut().zip(&blue.values) {
        *out += 255.0 * 0.114 * blue;
    }
    out
}

/// Whether two pictures show different scenes.
fn is_cut(current: &Pyramid, previous: &Pyramid, flow: &Flow) -> bool {
    let difference = flow
        .warp(previous.picture())
        .zip(current.picture(), |a, b| (a - b).abs())
        .mean();
    difference > CUT.max(CUT_SHARE * current.picture().deviation())
}

/// What motion says of a frame.
struct Evidence {
    /// Residuals, blurred, in pixels.
    length: Plane,
    /// Between still and moving, in pixels.
    threshold: f32,
    /// How much the frame's motion tells, 0 to 1.
    weight: f32,
}

impl Evidence {
    fn of(residual: Residual) -> Self {
        let length = residual.length.blurred(SMOOTHING);
        let scale = residual.scale + NOISE;
        let level = quantile(&mut length.values.clone(), LEVEL);
        let (none, full) = (CONTRAST.0.ln(), CONTRAST.1.ln());
        Self {
            length,
            threshold: THRESHOLD * (scale * level).sqrt(),
            weight: (((level / scale).max(f32::MIN_POSITIVE).ln() - none) / (full - none)).clamp(0.0, 1.0),
        }
    }

    fn weigh(&self, network: &Plane, previous: &Plane) -> Plane {
        let own = 1.0 - self.weight * (1.0 - NETWORK);
        let memory = MEMORY.1 + self.weight * (MEMORY.0 - MEMORY.1);
        let threshold = self.threshold.max(f32::MIN_POSITIVE);
        let judged = network.zip(&self.length, |network, length| {
            let motion = ((length + 1e-3) / threshold).ln().clamp(-LIMIT, LIMIT);
            own * network + MOTION * self.weight * motion
        });
        judged.zip(previous, |judged, previous| judged + memory * (previous - judged))
    }
}

//! What the object of a video looks like: the colours that motion has shown it and its surroundings to have.
//!
//! The memory of a scene. It learns while the evidence of motion is strong, and speaks while it is not: what it says then counts
//! as much as it has agreed with motion before.

use crate::color::ColorHistogram;
use crate::plane::{Plane, to_logarithms};

/// How much of what it knows stays with each frame that it learns from.
const KEPT: f32 = 0.9;
/// Log-odds, either way, from which a pixel teaches its colour.
const DECIDED: f32 = 0.5;
/// Added to the share of each colour: one that was never seen says nothing.
const FLOOR: f32 = 1e-5;
/// The colours' log-odds count at most this.
const LIMIT: f32 = 2.0;
/// Standard deviation of the colours' log-odds' blur, in pixels.
const SMOOTHING: f32 = 1.0;
/// Standard deviation of the blur of where the object was, in pixels.
const REACH: f32 = 4.0;
/// Weight of the log-odds of where the object was.
const PLACE: f32 = 1.5;
/// Added to the share of the object around a pixel, and to that of the rest: far from where the object was, its colours are
/// other things'.
const ELSEWHERE: f32 = 0.02;
/// Intersection over union with the object that motion shows: at the first it is not trusted, from the second on wholly.
const AGREEMENT: (f32, f32) = (0.3, 0.7);
/// How fast trust follows agreement, as a share for each frame.
const HABIT: f32 = 0.2;

/// The colours of a scene's object and of its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Appearance {
    object: Running,
    surroundings: Running,
    trust: f32,
    histogram: ColorHistogram,
}

impl Appearance {
    /// How far it has agreed with motion, 0 to 1.
    pub fn trust(&self) -> f32 {
        self.trust
    }

    /// Log-odds of the object by each pixel's colour alone (its cell of [`ColorHistogram`]); nothing before it has learned.
    pub fn looks(&self, cells: &[u16], (width, height): (usize, usize)) -> Option<Plane> {
        if self.object.total <= 0.0 || self.surroundings.total <= 0.0 {
            return None;
        }
        let of = |cell: &u16| self.object.share(*cell) / self.surroundings.share(*cell);
        let values = cells.iter().map(of).collect();
        let mut colors = Plane { width, height, values };
        to_logarithms(&mut colors.values);
        colors
            .values
            .iter_mut()
            .for_each(|odds| *odds = odds.clamp(-LIMIT, LIMIT));
        Some(colors.blurred(SMOOTHING))
    }

    /// Learns the colours of a frame whose log-odds motion has judged, and how well `guess`, what it said of the same frame before,
    /// agrees with them.
    pub fn learn(&mut self, cells: &[u16], judged: &Plane, guess: Option<&Plane>) {
        if let Some(guess) = guess {
            let pairs = || guess.values.iter().zip(&judged.values);
            let count = |is: fn(bool, bool) -> bool| pairs().filter(|(a, b)| is(**a > 0.0, **b > 0.0)).count() as f32;
            let agreement = count(|a, b| a && b) / count(|a, b| a || b).max(1.0);
            let trust = ((agreement - AGREEMENT.0) / (AGREEMENT.1 - AGREEMENT.0)).clamp(0.0, 1.0);
            self.trust += HABIT * (trust - self.trust);
        }
        let object = judged.probabilities();
        for (running, is_object) in [(&mut self.object, true), (&mut self.surroundings, false)] {
            let weights = judged.values.iter().zip(&object.values).map(|(odds, p)| {
                let decided = f32::from(u8::from(odds.abs() > DECIDED));
                decided * if is_object { *p } else { 1.0 - p }
            });
            self.histogram.count(cells, weights);
            running.add(&self.histogram);
        }
    }
}

/// Log-odds of the object by its looks ([`Appearance::looks`]) and by where it was, as probabilities.
pub fn log_odds(looks: &Plane, object: &Plane) -> Plane {
    let mut near = object
        .blurred(REACH)
        .map(|near| (near + ELSEWHERE) / (1.0 - near + ELSEWHERE));
    to_logarithms(&mut near.values);
    looks.zip(&near, |looks, near| looks + PLACE * near)
}

/// Counts of colours that fade.
#[derive(Clone, Debug, Default)]
struct Running {
    counts: Vec<f32>,
    total: f32,
}

impl Running {
    fn add(&mut self, new: &ColorHistogram) {
        let new = new.counts();
        self.counts.resize(new.len(), 0.0);
        for (count, new) in self.counts.iter_mut().zip(new) {
            *count = KEPT * *count + new;
        }
        self.total = self.counts.iter().sum();
    }

    /// Share of the cell's colour.
    fn share(&self, cell: u16) -> f32 {
        self.counts[usize::from(cell)] / self.total + FLOOR
    }
}

//! What has moved in front of a camera that stands.
//!
//! Where the camera moves, it mostly follows its object, and what goes along with the surroundings is none. A camera that stands looks on:
//! a person in front of it moves a hand and rests, one of two stops while the other goes on. There motion of one frame is not all: whatever
//! has come from elsewhere, however slowly, is none of the background, although it stands still now.

use crate::flow::Flow;
use crate::plane::Plane;
use crate::vectorised;

/// How far the camera's motion takes any corner, in pixels: at most the first, and it stands; from the second on it moves.
const STANDS: (f32, f32) = (0.1, 0.3);
/// How fast that becomes sure, as a share for each frame.
const HABIT: f32 = 0.1;
/// A camera that stands less surely than this moves.
const LEAST: f32 = 0.05;
/// From here on a camera is known to stand.
const KNOWN: f32 = 0.5;
/// How much each frame leaves of how far things have come: half after 34 frames, ...
const LASTS: f32 = 0.98;
/// ... and of how far they once had come: half after 138 frames.
const REMEMBERED: f32 = 0.995;
/// What has come so far, in pixels, may have moved; from the second on it has.
const MOVED: (f32, f32) = (0.25, 0.5);
/// Where a picture differs from the one before, brought along by the flow, by so many grey levels, half of that is forgotten:
/// something else is seen there now.
const DIFFERS: f32 = 5.0;

/// How surely the camera stands, and how far things have moved in front of it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// 0 to 1; unknown before there was any motion to see.
    sure: Option<f32>,
    drift: Option<Drift>,
}

impl Standing {
    /// How surely the camera stands, 0 to 1.
    pub fn sure(&self) -> f32 {
        self.sure.unwrap_or(0.0)
    }

    /// Whether the camera is known to stand.
    pub fn is_known(&self) -> bool {
        self.sure() > KNOWN
    }

    /// The next frame: its flow to the one before; how far the camera's motion has taken the corner that it has taken farthest, in pixels of any
    /// size; and, looked at only where the camera stands, both of the flow's size, how things have moved on their own, and how far the picture
    /// differs from the one before, brought along by the flow, in grey levels.
    pub fn follow(&mut self, flow: &Flow, shift: f32, look: impl FnOnce() -> (Flow, Plane)) {
        let stands = ((STANDS.1 - shift) / (STANDS.1 - STANDS.0)).clamp(0.0, 1.0);
        let sure = self.sure.map_or(stands, |sure| sure + HABIT * (stands - sure));
        self.sure = Some(sure);
        if sure < LEAST {
            self.drift = None;
            return;
        }
        let (own, differs) = look();
        let drift = self.drift.take().filter(|drift| drift.x.size() == flow.size());
        let drift = drift.unwrap_or_else(|| Drift::none(flow.size()));
        self.drift = Some(drift.after(flow, &own, &differs));
    }

    /// How surely each pixel shows what has moved since it came into view, 0 to 1, of the flow's size; none where the camera moves.
    pub fn has_moved(&self) -> Option<Plane> {
        let far = |farthest: f32| ((farthest - MOVED.0) / (MOVED.1 - MOVED.0)).clamp(0.0, 1.0);
        let drift = self.drift.as_ref()?;
        Some(drift.farthest.map(|farthest| self.sure() * far(farthest)))
    }
}

/// How far what each pixel shows has come, in pixels.
#[derive(Clone, Debug)]
struct Drift {
    /// Against its own motion of the last frames, to the right.
    x: Plane,
    /// The same, down.
    y: Plane,
    /// The longest of these ways.
    farthest: Plane,
}

impl Drift {
    fn none((width, height): (usize, usize)) -> Self {
        let none = Plane::filled(width, height, 0.0);
        Self {
            x: none.clone(),
            y: none.clone(),
            farthest: none,
        }
    }

    fn after(&self, flow: &Flow, own: &Flow, differs: &Plane) -> Self {
        let [mut x, mut y, mut farthest] = flow.warp([&self.x, &self.y, &self.farthest]);
        add(
            &mut x.values,
            &mut y.values,
            &mut farthest.values,
            &own.x.values,
            &own.y.values,
            &differs.values,
        );
        Self { x, y, farthest }
    }
}

vectorised! {
    fn add(x: &mut [f32], y: &mut [f32], farthest: &mut [f32], own_x: &[f32], own_y: &[f32], differs: &[f32]) {
        let ways = x.iter_mut().zip(y).zip(farthest);
        for (((x, y), farthest), ((own_x, own_y), differs)) in ways.zip(own_x.iter().zip(own_y).zip(differs)) {
            let differs = (differs / DIFFERS) * (differs / DIFFERS);
            let stays = 1.0 / (1.0 + differs * differs);
            *x = stays * LASTS * *x + own_x;
            *y = stays * LASTS * *y + own_y;
            *farthest = (stays * REMEMBERED * *farthest).max((*x * *x + *y * *y).sqrt());
        }
    }
}

#[cfg(test)]
mod tests;
